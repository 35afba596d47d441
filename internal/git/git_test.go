package git

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUntied(t *testing.T) {
	got := Untied([]string{"PATH=/bin", "GIT_DIR=/x", "GIT_SSL_CAINFO=/ca", "GIT_INDEX_FILE=i"})
	if diff := cmp.Diff([]string{"PATH=/bin", "GIT_SSL_CAINFO=/ca"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfig(t *testing.T) {
	g := New(append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=a.user", "GIT_CONFIG_VALUE_0=kept"))
	more := g.WithConfig([2]string{"a.one", "1"}).WithConfig([2]string{"a.two", "2"})
	for key, want := range map[string]string{"a.user": "kept\n", "a.one": "1\n", "a.two": "2\n"} {
		if got, err := more.Run(t.Context(), t.TempDir(), "config", "--get", key); got != want || err != nil {
			t.Errorf("%s is %q (%v), want %q", key, got, err, want)
		}
	}
	var exit *exec.ExitError
	if _, err := g.Run(t.Context(), t.TempDir(), "config", "--get", "a.one"); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the first has what was added to the second: %v", err)
	}
}

func TestFailures(t *testing.T) {
	_, err := New(os.Environ()).Run(t.Context(), t.TempDir(), "rev-parse", "HEAD")
	var failed *Error
	if !errors.As(err, &failed) || failed.Command != "rev-parse" || !strings.Contains(err.Error(), "running git rev-parse: exit status 128: fatal: not a git repository") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("it is over")
	cancel(over)
	if _, err := New(os.Environ()).Run(ctx, t.TempDir(), "version"); !errors.Is(err, over) {
		t.Errorf("got %v, want the cause", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := New(nil).Run(t.Context(), t.TempDir(), "version"); err == nil || !strings.Contains(err.Error(), "apt install git") {
		t.Errorf("got %v, want what to install", err)
	}
}

// Nobody is asked by what a desktop has for that; what the environment names for
// git is a job's way to log in.
func TestAskpass(t *testing.T) {
	for variable, want := range map[string]bool{"GIT_ASKPASS": true, "SSH_ASKPASS": false} {
		asked := filepath.Join(t.TempDir(), "asked")
		program := filepath.Join(t.TempDir(), "askpass")
		if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch "+asked+"\necho x\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		g := New(append(os.Environ(), variable+"="+program))
		if _, err := g.Feed(t.Context(), t.TempDir(), "protocol=https\nhost=example.com\n\n", "credential", "fill"); (err == nil) != want {
			t.Errorf("%s: got error %v", variable, err)
		}
		if _, err := os.Stat(asked); (err == nil) != want {
			t.Errorf("%s was asked: %v, want %v", variable, err == nil, want)
		}
	}
}

// The login reaches its server, and neither another one nor an error. A helper
// of the user's is asked where there is no password.
func TestLogin(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if user, password, ok := q.BasicAuth(); ok {
			asked = append(asked, user+":"+password)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer server.Close()
	helper := [2]string{"credential.helper", `!f() { test "$1" != get || printf 'username=own\npassword=kept\n'; }; f`}
	for _, test := range []struct {
		git                          Git
		server, user, password, want string
	}{
		{New(os.Environ()), server.URL, "robot", "hunter2", "robot:hunter2"},
		{New(os.Environ()), server.URL, "hunter2", "", "hunter2:"},
		{New(os.Environ()), "http://elsewhere.example.com", "robot", "hunter2", ""},
		{New(os.Environ()).WithConfig(helper), server.URL, "robot", "hunter2", "robot:hunter2"},
		{New(os.Environ()).WithConfig(helper), server.URL, "hunter2", "", "own:kept"},
	} {
		asked = nil
		at, err := url.Parse(test.server)
		if err != nil {
			t.Fatal(err)
		}
		g, err := test.git.WithLogin(at, test.user, test.password)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err = g.Run(ctx, t.TempDir(), "ls-remote", server.URL+"/x.git")
		cancel()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error is %v", err)
		}
		if got := strings.Join(asked, " "); got != test.want {
			t.Errorf("the server was asked as %q, want %q", got, test.want)
		}
		if got := g.Redact("x hunter2 y"); got != "x [redacted] y" {
			t.Errorf("redacted is %q", got)
		}
	}
	if _, err := New(nil).WithLogin(&url.URL{}, "a\nb", ""); err == nil {
		t.Error("a line break would add to what git reads")
	}
}
