//go:build integration

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/gzip"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/registry"
	"vauban/scan"
)

// canaries are secrets that no test and no machine has otherwise.
type canaries struct {
	dir    string
	values map[string]string
}

func newCanaries(t *testing.T, names ...string) *canaries {
	t.Helper()
	c := &canaries{dir: t.TempDir(), values: map[string]string{}}
	for _, name := range names {
		c.values[name] = "canary/" + rand.Text() + "+x"
	}
	return c
}

func (c *canaries) path(name string) string { return filepath.Join(c.dir, name) }

func (c *canaries) write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(c.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.path(name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (c *canaries) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = c.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// matcher finds the canaries in all forms, less those named.
func (c *canaries) matcher(without ...string) *scan.Matcher {
	var needles []scan.Needle
	for name, value := range c.values {
		if !slices.Contains(without, name) {
			needles = append(needles, scan.Secret(name, value)...)
		}
	}
	return scan.New(needles)
}

// protected answers only to those who know a password.
func protected(next http.Handler, username, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != username || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "log in", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

const canaryPlaybook = `
- hosts: all
  tasks:
    - name: what the playbook means to write
      ansible.builtin.copy: {content: "{{ vaulted }}\n", dest: /etc/app.secret, mode: "0600"}
    - name: what a template takes for the host's own
      ansible.builtin.copy: {content: "listen {{ '10.0.2.100' }}\n", dest: /etc/app.conf}
    - name: what a playbook prints
      ansible.builtin.debug: {msg: "{{ lookup('file', lookup('env', 'LEAK')) }}"}
      when: lookup('env', 'LEAK') != ''
    - name: what no image may hold
      ansible.builtin.copy: {content: "{{ lookup('file', lookup('env', 'LEAK')) }}", dest: /etc/leak}
      when: lookup('env', 'LEAK') != ''
`

const canaryConfig = `
configuration:
  never_upload: [master-test]
suite:
  release: bookworm
  name: base/iso
  master-test:
    stages: [playbook.yml]
    conffs: "host01"
`

// newCanaryWorld is a machine with a registry, a git server and a repository
// that all want secrets.
func newCanaryWorld(t *testing.T) *canaries {
	t.Helper()
	c := newCanaries(t, "REGISTRY_PASSWORD", "VAULTED_SSHD_KEYS_KEY", "GIT_TOKEN_PASSWORD", "VAULT_TOKEN", "VAULT_SECRET_ID",
		"vault password", "vaulted value", "deploy key", "apt password")
	c.write(t, "config.yml", canaryConfig, 0o644)
	c.write(t, "vault.password", c.values["vault password"]+"\n", 0o600)
	c.write(t, "apt.auth", "machine https://packages.example.com login ci password "+c.values["apt password"]+"\n", 0o600)
	c.write(t, "ansible-ro", "-----BEGIN OPENSSH PRIVATE KEY-----\n"+c.values["deploy key"]+"\n-----END OPENSSH PRIVATE KEY-----\n", 0o600)
	c.write(t, "playbooks/playbook.yml", canaryPlaybook, 0o644)
	c.write(t, "playbooks/hosts.yml", "all:\n  hosts:\n    host01:\n", 0o644)
	c.write(t, "playbooks/ansible.cfg", "[defaults]\ninventory = hosts.yml\nvault_password_file = vault.password\n", 0o644)
	c.write(t, "playbooks/group_vars/README", "", 0o644)
	c.write(t, "vaulted", "vaulted: "+c.values["vaulted value"]+"\n", 0o600)
	c.run(t, "ansible-vault", "encrypt", "--vault-password-file", "vault.password", "--output", "playbooks/group_vars/all.yml", "vaulted")
	c.run(t, "sh", "-c", "cd playbooks && git init -q -b main && git add . && git -c user.name=t -c user.email=t@example.com commit -qm all && git clone -q --bare . ../git/infra.git")

	backend := &cgi.Handler{Path: strings.TrimSpace(c.run(t, "git", "--exec-path")) + "/git-http-backend",
		Env: []string{"GIT_PROJECT_ROOT=" + c.path("git"), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ci"}}
	git := httptest.NewServer(protected(backend, "ci", c.values["GIT_TOKEN_PASSWORD"]))
	t.Cleanup(git.Close)
	images := httptest.NewServer(protected(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))), "ci", c.values["REGISTRY_PASSWORD"]))
	t.Cleanup(images.Close)

	for _, dir := range []string{"tmp", "state", "home"} {
		if err := os.Mkdir(c.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"TMPDIR": c.path("tmp"), "HOME": c.path("home"), "ANSIBLE_REPO": git.URL + "/infra.git", "GIT_TOKEN_USERNAME": "ci", "APT_AUTH_FILE": c.path("apt.auth"),
		"REGISTRY_HOSTNAME": strings.TrimPrefix(images.URL, "http://"), "REGISTRY_USERNAME": "ci",
		"HOOK_PRE_ANSIBLE": "env >" + c.path("hook.env"), "HOOK_POST_ANSIBLE": "env >>" + c.path("hook.env"),
		// Half of the secrets come from the environment.
		"VAULTED_SSHD_KEYS_KEY": c.values["VAULTED_SSHD_KEYS_KEY"], "VAULT_TOKEN": c.values["VAULT_TOKEN"],
	} {
		t.Setenv(name, value)
	}
	c.write(t, ".secrets.env", fmt.Sprintf("REGISTRY_PASSWORD='%s'\nGIT_TOKEN_PASSWORD='%s'\nVAULT_SECRET_ID='%s'\n",
		c.values["REGISTRY_PASSWORD"], c.values["GIT_TOKEN_PASSWORD"], c.values["VAULT_SECRET_ID"]), 0o600)
	c.pushBase(t, strings.TrimPrefix(images.URL, "http://"))
	return c
}

func (c *canaries) pushBase(t *testing.T, hostname string) {
	t.Helper()
	testenv.Plant(t, c.path("state"), testenv.Whole)
	engine, err := layers.Open(t.Context(), layers.Options{StateDir: c.path("state"), Embedded: true, Version: version, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	images, err := registry.Open(t.Context(), registry.Options{Hostname: hostname, Username: "ci", Password: c.values["REGISTRY_PASSWORD"]})
	if err != nil {
		t.Fatal(err)
	}
	base := testenv.Base(t, engine)
	_, err = images.Push(t.Context(), "base/iso", base.Descriptor, engine.Store(), registry.PushOptions{Tags: []string{registry.Latest}})
	if err := errors.Join(err, images.Close(), engine.Close()); err != nil {
		t.Fatal(err)
	}
}

// watchProcesses looks for secrets in command lines, and in the environment of
// what runs in containers or for ansible, until the context ends.
func (c *canaries) watchProcesses(ctx context.Context, matcher *scan.Matcher) (found map[string]bool, seen int) {
	found = map[string]bool{}
	own, _ := os.Readlink("/proc/self/ns/pid")
	looked := map[string]string{} // command lines, by their files
	for ctx.Err() == nil {
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			command, err := os.ReadFile(file)
			if err != nil || len(command) == 0 || looked[file] == string(command) {
				continue
			}
			looked[file] = string(command)
			names, _ := matcher.Find(bytes.NewReader(command))
			space, err := os.Readlink(filepath.Join(filepath.Dir(file), "ns/pid"))
			inside := err == nil && space != own
			if inside || bytes.Contains(command, []byte("ansible-playbook")) {
				seen++
				environ, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
				more, _ := matcher.Find(bytes.NewReader(environ))
				names = append(names, more...)
			}
			for _, name := range names {
				words := strings.ReplaceAll(string(command), "\x00", " ")
				found[name+" in "+words[:min(60, len(words))]] = true
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return found, seen
}

// TestSecretsStayOut builds a master and a host with a secret in every setting
// and looks for them everywhere afterwards.
func TestSecretsStayOut(t *testing.T) {
	c := newCanaryWorld(t)
	all := c.matcher("vaulted value")
	ctx, stop := context.WithCancel(t.Context())
	var inProcesses map[string]bool
	var processes int
	var watching sync.WaitGroup
	watching.Go(func() { inProcesses, processes = c.watchProcesses(ctx, c.matcher()) })

	args := []string{"--config", c.path("config.yml"), "--state", c.path("state"), "--log-level", "debug",
		"build", "master-test", "--stage", "conffs", "--build-parents", "1"}
	code, out, errs := vauban(t, args...)
	stop()
	watching.Wait()
	if code != 0 {
		t.Fatalf("exit code %d, stdout %s, stderr %s", code, out, errs)
	}
	if processes == 0 {
		t.Error("no process of a container or of ansible was seen")
	}
	for what := range inProcesses {
		t.Errorf("a process shows %s", what)
	}
	for what, text := range map[string]string{"stdout": out, "stderr": errs} {
		if names, err := c.matcher().Find(strings.NewReader(text)); err != nil || len(names) > 0 {
			t.Errorf("%s shows %v: %v", what, names, err)
		}
	}
	if !strings.Contains(out+errs, "/etc/app.conf (the build network's address 10.0.2.100)") {
		t.Errorf("the build's address in a file is not reported:\n%s\n%s", out, errs)
	}
	if looked := c.searchFiles(t, all); looked < 100 {
		t.Errorf("only %d files were looked into", looked)
	}

	// Only now a playbook writes one into the image.
	t.Setenv("LEAK", c.path("leak"))
	c.write(t, "leak", "the password: "+c.values["REGISTRY_PASSWORD"], 0o600)
	code, out, errs = vauban(t, args...)
	if said := out + errs; code != 1 || !strings.Contains(said, "/etc/leak (REGISTRY_PASSWORD)") {
		t.Errorf("an image with a secret: exit code %d, stdout %s, stderr %s", code, out, errs)
	}
	if err := os.Remove(c.path("leak")); err != nil {
		t.Fatal(err)
	}
	if names, err := c.matcher().Find(strings.NewReader(out + errs)); err != nil || len(names) > 0 {
		t.Errorf("what was said of it shows %v: %v", names, err)
	}
	log, err := os.ReadFile(strings.TrimSpace(c.run(t, "sh", "-c", "ls -d "+c.path("state")+"/logs/*/master-test_playbook.yml.log | tail -1")))
	if err != nil || !strings.Contains(string(log), "the password: [redacted]") {
		t.Errorf("the log does not have what the playbook printed: %v\n%s", err, log)
	}
	c.searchFiles(t, all)
}

// searchFiles looks into every file below the folder, less those that the user
// keeps secrets in. Where the value of a vaulted variable is, which a playbook
// may write, only root may look.
func (c *canaries) searchFiles(t *testing.T, matcher *scan.Matcher) (looked int) {
	t.Helper()
	vaulted := scan.New(scan.Secret("vaulted value", c.values["vaulted value"]))
	sources := []string{".secrets.env", "vault.password", "ansible-ro", "vaulted", "leak", "apt.auth"}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the daemon's
		} else if err != nil {
			return err
		}
		name, _ := filepath.Rel(c.dir, path)
		if !d.Type().IsRegular() || slices.Contains(sources, name) {
			return nil
		}
		looked++
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if zip, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			if plain, err := io.ReadAll(zip); err == nil {
				data = append(data, plain...)
			}
		}
		names, err := matcher.Find(bytes.NewReader(data))
		if err != nil || len(names) > 0 {
			t.Errorf("%s holds %v: %v", name, names, err)
		}
		if names, err := vaulted.Find(bytes.NewReader(data)); err != nil || len(names) > 0 && c.worldReadable(t, path) {
			t.Errorf("everybody may read a vaulted value in %s: %v", name, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return looked
}

// worldReadable reports whether another user could open a file of the state.
func (c *canaries) worldReadable(t *testing.T, path string) bool {
	t.Helper()
	for p, bit := path, fs.FileMode(0o004); p != c.dir; p, bit = filepath.Dir(p), 0o001 {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&bit == 0 {
			return false
		}
	}
	return true
}
