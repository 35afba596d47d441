package repository

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vauban/internal/command"
)

// The password reaches the server, and neither arguments nor errors.
func TestPasswordStaysSecret(t *testing.T) {
	var asked []string
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		user, password, _ := q.BasicAuth()
		mu.Lock()
		asked = append(asked, user+":"+password)
		mu.Unlock()
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "wrong password hunter2", http.StatusUnauthorized)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	for _, o := range []Options{
		{Repo: "http://robot:hunter2@" + address + "/ansible.git"},
		{Repo: "http://" + address + "/ansible.git", Username: "robot", Password: "hunter2"},
	} {
		asked = nil
		remote, err := newRemote(o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(remote.url, "hunter2") {
			t.Errorf("the URL, an argument of git, holds the password: %s", remote.url)
		}
		o.StateDir, o.Environ = t.TempDir(), os.Environ()
		_, err = Open(t.Context(), o)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got error %v, want one without the password", err)
		}
		if !strings.Contains(err.Error(), "GIT_TOKEN_PASSWORD") {
			t.Errorf("got error %v, want the remedy in it", err)
		}
		if !strings.Contains(strings.Join(asked, " "), "robot:hunter2") {
			t.Errorf("the server was asked with %q, want the password there", asked)
		}
	}
}

func TestSSHCommand(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "it's a key")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	remote, err := newRemote(Options{Repo: "git@git.example.com:infra/ansible.git", Dir: dir, SSHKeyFile: "it's a key"})
	if err != nil {
		t.Fatal(err)
	}
	want := "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o IdentitiesOnly=yes -i '" + dir + `/it'\''s a key'`
	if got := command.Getenv(remote.git.Environ(), "GIT_SSH_COMMAND"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if remote.path != "" || remote.url != "git@git.example.com:infra/ansible.git" {
		t.Errorf("got %+v, want the URL as it is", remote)
	}
	if _, err := newRemote(Options{Repo: "git@git.example.com:x", SSHKeyFile: "/nowhere"}); err == nil {
		t.Error("a key that does not exist is accepted")
	}
}

func TestIsPath(t *testing.T) {
	for repo, want := range map[string]bool{
		"/srv/ansible": true, "../ansible": true, "ansible": true, "./a:b": true,
		"git@host:ansible": false, "https://host/x": false, "file:///srv/x": false, "host:22/x": false,
	} {
		if got := isPath(repo); got != want {
			t.Errorf("%q: got %v, want %v", repo, got, want)
		}
	}
}

// Git is left at once when the run ends, with the ssh it started.
func TestGitIsLeft(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Open(ctx, Options{Repo: "git@git.example.com:x", StateDir: t.TempDir(),
		Environ: append(os.Environ(), "GIT_SSH_COMMAND=sh -c 'sleep 60'", "GIT_SSH_VARIANT=ssh")})
	if err == nil || time.Since(start) > 20*time.Second {
		t.Errorf("error %v after %v", err, time.Since(start))
	}
}

// A URL whose password cannot be told from the rest reaches no command line
// and no error.
func TestUnreadableURL(t *testing.T) {
	for _, repo := range []string{"https://bot:pa#ss@host/x.git", "https://bot:pa%zz@host/x.git", "https://bot:pa/ss@host/x.git"} {
		if _, err := newRemote(Options{Repo: repo}); err == nil || strings.Contains(err.Error(), "bot") {
			t.Errorf("%s: error %v, want one that does not repeat it", repo, err)
		}
	}
}
