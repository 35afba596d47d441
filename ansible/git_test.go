package ansible

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
)

func TestRevision(t *testing.T) {
	repository := gitRepository(t, map[string]string{"play.yml": "a"})
	runGit(t, repository, "tag", "v1")
	runGit(t, repository, "branch", "feature/monitoring")
	first := strings.TrimSpace(runGit(t, repository, "rev-parse", "HEAD"))
	commit(t, repository, map[string]string{"play.yml": "b"})
	second := strings.TrimSpace(runGit(t, repository, "rev-parse", "HEAD"))
	bare := filepath.Join(t.TempDir(), "bare.git")
	runGit(t, repository, "clone", "--quiet", "--bare", ".", bare)
	for _, source := range []string{repository, bare, "file://" + bare} {
		r := open(t, Options{Repo: source})
		for branch, want := range map[string]Revision{
			"":                   {"main", second},
			"main":               {"main", second},
			"feature/monitoring": {"feature/monitoring", first},
			"v1":                 {"v1", first},
			first:                {first, first},
		} {
			if got := revision(t, r, branch); got != want {
				t.Errorf("%s: branch %q: got %v, want %v", source, branch, got, want)
			}
		}
		for branch, want := range map[string]string{
			"feature/monitorin": `did you mean "feature/monitoring"?`,
			"--upload-pack=x":   "has no branch",
		} {
			if _, err := r.Revision(t.Context(), branch); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("branch %q: got error %v, want %q in it", branch, err, want)
			}
		}
	}
}

// A branch is one commit for a whole run; the next run sees the new one.
func TestRevisionStays(t *testing.T) {
	repository, state := gitRepository(t, map[string]string{"play.yml": "a"}), t.TempDir()
	first := open(t, Options{Repo: repository, StateDir: state})
	before := revision(t, first, "main")
	commit(t, repository, map[string]string{"play.yml": "b"})
	second := open(t, Options{Repo: repository, StateDir: state})
	if after := revision(t, second, ""); after.Commit == before.Commit {
		t.Error("the second run does not see the new commit")
	}
	if again := revision(t, first, "main"); again != before {
		t.Errorf("the branch moved within a run: %v, then %v", before, again)
	}
	runGit(t, repository, "branch", "--move", "trunk")
	third := open(t, Options{Repo: repository, StateDir: state})
	if _, err := third.Revision(t.Context(), "main"); err == nil {
		t.Error("a deleted branch is still there")
	}
}

func TestDetachedHead(t *testing.T) {
	repository := gitRepository(t, map[string]string{"play.yml": "a"})
	runGit(t, repository, "checkout", "--quiet", "--detach")
	commit(t, repository, map[string]string{"play.yml": "b"})
	want := strings.TrimSpace(runGit(t, repository, "rev-parse", "HEAD"))
	r := open(t, Options{Repo: repository})
	rev := revision(t, r, "")
	if rev.Commit != want {
		t.Errorf("got %v, want %s", rev, want)
	}
	if err := r.HasPlaybook(t.Context(), rev, "play.yml"); err != nil {
		t.Error(err)
	}
}

func TestHasPlaybook(t *testing.T) {
	repository := gitRepository(t, map[string]string{
		"site/playbooks/playbook_web.yml": "x", "site/playbook_db.yml": "x", "site/roles/web/tasks/playbook_we.yml": "x",
	})
	r := open(t, Options{Repo: repository, RootDir: "site"})
	rev := revision(t, r, "")
	if err := r.HasPlaybook(t.Context(), rev, "playbooks/playbook_web.yml"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"playbook_web.yml": `branch "main" has no playbook "playbook_web.yml" in "site": did you mean "playbooks/playbook_web.yml" or "playbook_db.yml"?`,
		"../x.yml":         "leaves the repository",
		"playbooks":        `has no playbook "playbooks"`,
		"far-away.yml":     `has no playbook "far-away.yml" in "site"`,
	} {
		if err := r.HasPlaybook(t.Context(), rev, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", path, err, want)
		}
	}
	other := open(t, Options{Repo: repository, RootDir: "sight"})
	if err := other.HasPlaybook(t.Context(), rev, "x.yml"); err == nil || !strings.Contains(err.Error(), "ANSIBLE_ROOT_DIR") {
		t.Errorf("got %v, want an error about ANSIBLE_ROOT_DIR", err)
	}
}

func TestSubmodules(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"role", "main"} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
			t.Fatal(err)
		}
		runGit(t, filepath.Join(parent, name), "init", "--quiet", "--initial-branch=main")
		commit(t, filepath.Join(parent, name), map[string]string{name + ".yml": "x"})
	}
	main := filepath.Join(parent, "main")
	runGit(t, main, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../role", "roles/role")
	commit(t, main, nil)
	r := open(t, Options{Repo: main})
	if err := r.HasPlaybook(t.Context(), revision(t, r, ""), "roles/role/role.yml"); err != nil {
		t.Error(err)
	}
}

func TestFactsFrom(t *testing.T) {
	repository, facts := gitRepository(t, map[string]string{"play.yml": "a"}), t.TempDir()
	write := func(content string) {
		if err := os.WriteFile(filepath.Join(facts, "db1.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"ansible_memtotal_mb": 1}`)
	first := open(t, Options{Repo: repository, FactsFrom: "facts", Dir: filepath.Dir(linkTo(t, facts))})
	write(`{"ansible_memtotal_mb": 2}`)
	second := open(t, Options{Repo: repository, FactsFrom: facts})
	if first.facts == second.facts {
		t.Error("other facts have the same digest")
	}
	write(`[]`)
	_, err := Open(t.Context(), Options{Repo: repository, FactsFrom: facts, StateDir: t.TempDir(), Environ: os.Environ()})
	if err == nil || !strings.Contains(err.Error(), `"db1.json"`) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

// linkTo makes a link called facts.
func linkTo(t *testing.T, target string) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "facts")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// Two runs may open one repository at once; the folder of a run that died is
// removed, that of a living one is not.
func TestSharedState(t *testing.T) {
	repository, state := gitRepository(t, map[string]string{"play.yml": "a"}), t.TempDir()
	dead := filepath.Join(state, "ansible", "vauban-dead")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	var runs sync.WaitGroup
	for range 4 {
		runs.Go(func() {
			r, err := Open(t.Context(), Options{Repo: repository, StateDir: state, Environ: os.Environ()})
			if err != nil {
				t.Error(err)
				return
			}
			rev, err := r.Revision(t.Context(), "")
			if err == nil {
				err = r.HasPlaybook(t.Context(), rev, "play.yml")
			}
			if err != nil {
				t.Error(err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if exists(dead) {
		t.Error("the folder of a dead run is still there")
	}
}

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
	if got := getenv(remote.git.Environ(), "GIT_SSH_COMMAND"); got != want {
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
