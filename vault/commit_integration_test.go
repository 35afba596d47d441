//go:build integration

package vault

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// remote is a bare repository with one commit on main.
func remote(t *testing.T) string {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	dir := filepath.Join(t.TempDir(), "remote.git")
	run(t, "/", "git", "init", "--quiet", "--bare", "--initial-branch=main", dir)
	seed := clone(t, dir)
	write(t, seed, "config.yml", "hello\n")
	write(t, seed, "vault/old.tar.gpg", "old\n")
	push(t, seed)
	return dir
}

func clone(t *testing.T, url string, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "/", "git", append(append([]string{"clone", "--quiet"}, options...), url, dir)...)
	return dir
}

func push(t *testing.T, dir string) {
	t.Helper()
	run(t, dir, "git", "add", ".")
	run(t, dir, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "change")
	run(t, dir, "git", "push", "--quiet", "origin", "HEAD:main")
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// at returns what a repository's main has under a name.
func at(t *testing.T, repository, name string) string {
	t.Helper()
	return run(t, repository, "git", "show", "main:"+name)
}

func commitVault(t *testing.T, dir string, o CommitOptions) ([]string, error) {
	t.Helper()
	o.Backoff = time.Millisecond
	return CommitVault(t.Context(), filepath.Join(dir, "vault"), o)
}

func TestCommitVault(t *testing.T) {
	bare := remote(t)
	dir := clone(t, bare)
	write(t, dir, "vault/web-1.tar.gpg", "web\x00\n")
	write(t, dir, "vault/site/db.tar.gpg", "db")
	write(t, dir, "vault/.half.tar.gpg.new", "not yet")
	write(t, dir, "config.yml", "work in progress\n")
	write(t, dir, "staged", "work in progress\n")
	run(t, dir, "git", "add", "staged")
	hosts, err := commitVault(t, dir, CommitOptions{})
	if err != nil || !cmp.Equal(hosts, []string{"site/db", "web-1"}) {
		t.Fatalf("pushed %q, %v", hosts, err)
	}
	if got := at(t, bare, "vault/web-1.tar.gpg"); got != "web\x00\n" {
		t.Errorf("the remote has %q", got)
	}
	want := "[CI] Update vault/|vauban <vauban@localhost>\n\nvault/site/db.tar.gpg\nvault/web-1.tar.gpg\n"
	if got := run(t, bare, "git", "show", "--name-only", "--format=%s|%an <%ae>", "main"); got != want {
		t.Errorf("the commit is %q, not %q", got, want)
	}
	want = "## main...origin/main\n M config.yml\nA  staged\n?? vault/.half.tar.gpg.new\n"
	if got := run(t, dir, "git", "status", "--short", "--branch", "--untracked-files=all"); got != want {
		t.Errorf("the checkout is %q, not %q", got, want)
	}
	if hosts, err := commitVault(t, dir, CommitOptions{}); err != nil || len(hosts) > 0 {
		t.Errorf("again: pushed %q, %v", hosts, err)
	}
}

// TestCommitVaultInCI starts from a shallow checkout of an older commit, on no
// branch, after others have pushed.
func TestCommitVaultInCI(t *testing.T) {
	bare := remote(t)
	other := clone(t, bare)
	write(t, other, "more", "x")
	push(t, other)
	dir := clone(t, "file://"+bare, "--depth=1")
	run(t, dir, "git", "checkout", "--quiet", "--detach")
	write(t, other, "vault/old.tar.gpg", "rotated\n")
	write(t, other, "config.yml", "changed\n")
	push(t, other)

	write(t, dir, "vault/web-1.tar.gpg", "web")
	if _, err := commitVault(t, dir, CommitOptions{}); err == nil || !strings.Contains(err.Error(), "name the branch") {
		t.Errorf("without a branch: %v", err)
	}
	hosts, err := commitVault(t, dir, CommitOptions{Branch: "main", Name: "CI", Email: "ci@example.com"})
	if err != nil || !cmp.Equal(hosts, []string{"web-1"}) {
		t.Fatalf("pushed %q, %v", hosts, err)
	}
	got := at(t, bare, "vault/web-1.tar.gpg") + "|" + at(t, bare, "vault/old.tar.gpg") + at(t, bare, "config.yml")
	if got != "web|rotated\nchanged\n" {
		t.Errorf("the remote has %q", got)
	}
	if hosts, err := commitVault(t, dir, CommitOptions{Branch: "main"}); err != nil || len(hosts) > 0 {
		t.Errorf("again: pushed %q, %v", hosts, err)
	}
}

// TestCommitVaultLosesRace has the branch move while our push is received.
func TestCommitVaultLosesRace(t *testing.T) {
	bare := remote(t)
	other := clone(t, bare)
	write(t, other, "quicker", "x")
	run(t, other, "git", "add", ".")
	run(t, other, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "quicker")
	run(t, other, "git", "push", "--quiet", "origin", "HEAD:quicker")
	hook := "#!/bin/sh\nif test ! -e raced; then : >raced; unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main refs/heads/quicker; fi\n"
	if err := os.WriteFile(filepath.Join(bare, "hooks/pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := clone(t, bare)
	write(t, dir, "vault/web-1.tar.gpg", "web")
	var log bytes.Buffer
	hosts, err := commitVault(t, dir, CommitOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil || !cmp.Equal(hosts, []string{"web-1"}) {
		t.Fatalf("pushed %q, %v", hosts, err)
	}
	if strings.Count(log.String(), "attempt=1") != 1 {
		t.Errorf("the push did not fail once: %s", log.String())
	}
	if got := at(t, bare, "vault/web-1.tar.gpg") + at(t, bare, "quicker"); got != "webx" {
		t.Errorf("the remote has %q", got)
	}
}

func TestCommitVaultAtTheSameTime(t *testing.T) {
	bare := remote(t)
	const runs = 4
	var all sync.WaitGroup
	for i := range runs {
		dir := clone(t, bare)
		write(t, dir, fmt.Sprintf("vault/web-%d.tar.gpg", i), "web")
		all.Go(func() {
			if _, err := CommitVault(t.Context(), filepath.Join(dir, "vault"), CommitOptions{Attempts: 50, Backoff: 20 * time.Millisecond}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got := strings.Fields(run(t, bare, "git", "ls-tree", "--name-only", "main", "vault/"))
	want := []string{"vault/old.tar.gpg", "vault/web-0.tar.gpg", "vault/web-1.tar.gpg", "vault/web-2.tar.gpg", "vault/web-3.tar.gpg"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// TestCommitVaultLosesHost: two runs created the same host, and one of them
// another one too.
func TestCommitVaultLosesHost(t *testing.T) {
	bare := remote(t)
	mine, other := clone(t, bare), clone(t, bare)
	write(t, other, "vault/web-1.tar.gpg", "theirs\x00\n\n")
	write(t, other, "vault/old.tar.gpg", "rotated by them")
	push(t, other)
	write(t, mine, "vault/web-1.tar.gpg", "ours")
	write(t, mine, "vault/old.tar.gpg", "rotated by us")
	write(t, mine, "vault/web-2.tar.gpg", "ours")
	hosts, err := commitVault(t, mine, CommitOptions{})
	var lost *LostError
	if !errors.As(err, &lost) || !errors.Is(err, ErrConflict) || !cmp.Equal(lost.Hosts, []string{"old", "web-1"}) {
		t.Errorf("error %v", err)
	}
	if !cmp.Equal(hosts, []string{"web-2"}) {
		t.Errorf("pushed %q", hosts)
	}
	for name, want := range map[string]string{"web-1": "theirs\x00\n\n", "old": "rotated by them", "web-2": "ours"} {
		name = "vault/" + name + ".tar.gpg"
		here, err := os.ReadFile(filepath.Join(mine, name))
		if there := at(t, bare, name); err != nil || string(here) != want || there != want {
			t.Errorf("%s is %q here, %q there, %v", name, here, there, err)
		}
	}
	if hosts, err := commitVault(t, mine, CommitOptions{}); err != nil || len(hosts) > 0 {
		t.Errorf("again: pushed %q, %v", hosts, err)
	}
}

// TestCommitVaultFirst pushes to a remote that has nothing at all.
func TestCommitVaultFirst(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	bare, dir := filepath.Join(t.TempDir(), "remote.git"), t.TempDir()
	run(t, "/", "git", "init", "--quiet", "--bare", "--initial-branch=main", bare)
	run(t, dir, "git", "init", "--quiet", "--initial-branch=main")
	run(t, dir, "git", "remote", "add", "upstream", bare)
	write(t, dir, "vault/web-1.tar.gpg", "web")
	hosts, err := commitVault(t, dir, CommitOptions{Remote: "upstream"})
	if err != nil || !cmp.Equal(hosts, []string{"web-1"}) {
		t.Fatalf("pushed %q, %v", hosts, err)
	}
	if got := run(t, dir, "git", "status", "--short"); got != "" {
		t.Errorf("the checkout is %q", got)
	}
}

func TestCommitVaultRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "vault/web-1.tar.gpg", "web")
	if _, err := commitVault(t, dir, CommitOptions{}); err == nil || !strings.Contains(err.Error(), "not a git repository") {
		t.Errorf("outside a repository: %v", err)
	}
	dir = clone(t, remote(t))
	if hosts, err := commitVault(t, dir, CommitOptions{Remote: "nowhere"}); err != nil || len(hosts) > 0 {
		t.Errorf("with nothing to push: pushed %q, %v", hosts, err)
	}
	write(t, dir, "vault/web-1.tar.gpg", "web")
	for _, branch := range []string{"a..b", "main:other", "main^"} {
		if _, err := commitVault(t, dir, CommitOptions{Branch: branch}); err == nil {
			t.Errorf("the branch %q was accepted", branch)
		}
	}
	if hosts, err := commitVault(t, t.TempDir(), CommitOptions{}); err != nil || len(hosts) > 0 {
		t.Errorf("without a vault: pushed %q, %v", hosts, err)
	}
	if _, err := commitVault(t, dir, CommitOptions{Remote: "nowhere"}); err == nil {
		t.Error("a remote that is not there was accepted")
	}
}

// TestCommitVaultLogin pushes over HTTP. While that goes on, the server's hook
// writes down all command lines of the machine.
func TestCommitVaultLogin(t *testing.T) {
	const user, password, token = "robot", "s3cr3t %41&'\"", "ci-j0b-t0ken"
	bare := remote(t)
	run(t, bare, "git", "config", "http.receivepack", "true")
	hook := "#!/bin/sh\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >cmdlines\n"
	if err := os.WriteFile(filepath.Join(bare, "hooks/pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	var logins []string
	backend := &cgi.Handler{Path: strings.TrimSpace(run(t, "/", "git", "--exec-path")) + "/git-http-backend",
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(bare), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + user}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, given, ok := r.BasicAuth()
		if ok {
			logins = append(logins, name+":"+given)
		}
		if name != user || given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	dir := clone(t, bare)
	// As a CI system leaves it: with a token that may read only.
	run(t, dir, "git", "remote", "set-url", "origin", strings.Replace(server.URL, "://", "://ci:"+token+"@", 1)+"/remote.git")
	write(t, dir, "vault/web-1.tar.gpg", "web")

	_, err := commitVault(t, dir, CommitOptions{Username: user, Password: password + "-wrong", Attempts: 2})
	if err == nil || !strings.Contains(err.Error(), "Authentication failed") || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), token) {
		t.Errorf("a wrong password: %v", err)
	}
	_, err = commitVault(t, dir, CommitOptions{Attempts: 1})
	if err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("no password: %v", err)
	}
	logins = nil
	hosts, err := commitVault(t, dir, CommitOptions{Username: user, Password: password})
	if err != nil || !cmp.Equal(hosts, []string{"web-1"}) {
		t.Fatalf("pushed %q, %v", hosts, err)
	}
	for _, login := range logins {
		if login != user+":"+password {
			t.Errorf("logged in as %q", login)
		}
	}
	lines, err := os.ReadFile(filepath.Join(bare, "cmdlines"))
	if err != nil || !bytes.Contains(lines, []byte("refs/heads/main")) {
		t.Fatalf("our push is not in the command lines: %v", err)
	}
	for _, secret := range []string{"s3cr3t", token} {
		if bytes.Contains(lines, []byte(secret)) {
			t.Errorf("%q is in a command line", secret)
		}
	}
	// The remote's own login, when no other is given.
	own, err := url.Parse(server.URL + "/remote.git")
	if err != nil {
		t.Fatal(err)
	}
	own.User = url.UserPassword(user, password)
	run(t, dir, "git", "remote", "set-url", "origin", own.String())
	write(t, dir, "vault/web-2.tar.gpg", "web")
	if hosts, err := commitVault(t, dir, CommitOptions{}); err != nil || !cmp.Equal(hosts, []string{"web-2"}) {
		t.Fatalf("with the URL's login: pushed %q, %v", hosts, err)
	}
	if lines, err := os.ReadFile(filepath.Join(bare, "cmdlines")); err != nil || bytes.Contains(lines, []byte("s3cr3t")) {
		t.Errorf("the URL's password is in a command line, %v", err)
	}
	write(t, dir, "vault/web-3.tar.gpg", "web")
	if _, err := commitVault(t, dir, CommitOptions{Username: user, Password: "a\nb"}); err == nil {
		t.Error("a password of two lines was accepted")
	}
}
