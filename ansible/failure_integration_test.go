//go:build integration

package ansible

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

// A host's error names the task, where it is and what it said; what no_log
// hides is nowhere.
func TestFailedHosts(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"site/ansible.cfg": "[defaults]\ninventory = hosts\n",
		"site/hosts":       "plain\nloop\nrescued\nignored\nsecret\nmissing\ninclude\nbare\nunreached\n",
		"site/roles/r/tasks/main.yml": `
- name: check the disk
  command: sh -c 'echo it is full >&2; exit 3'
  when: inventory_hostname == 'plain'
- name: several
  command: "{{ item }}"
  loop: ["true", "ls /nowhere"]
  when: inventory_hostname == 'loop'
- block:
    - command: "false"
  rescue:
    - copy: {dest: /etc/rescued, content: x}
  when: inventory_hostname == 'rescued'
- command: "false"
  ignore_errors: true
  when: inventory_hostname == 'ignored'
- name: with a password
  shell: echo hunter2; exit 1
  no_log: true
  when: inventory_hostname == 'secret'
- include_tasks: "{{ 'nothing.yml' }}"
  when: inventory_hostname == 'missing'
- include_role: {name: nothing}
  when: inventory_hostname == 'include'
- block:
    - raw: rm /usr/bin/python3
    - gather_facts:
  when: inventory_hostname == 'bare'
`,
		"site/play.yml": "- hosts: all:!unreached\n  gather_facts: false\n  roles: [r]\n",
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo, RootDir: "site"}, ExtraArgs: "-vv"})
	var boxes []box
	for _, name := range []string{"plain", "loop", "rescued", "ignored", "secret", "missing", "include", "bare", "unreached"} {
		boxes = append(boxes, newBox(t, name))
	}
	var l logs
	var log bytes.Buffer
	failed := apply(t, r, PlaybookOptions{Path: "play.yml", Conffs: true, Output: l.open, Log: &log}, boxes...)
	for name, want := range map[string]string{
		"plain":     "it is full",
		"loop":      "ls: cannot access '/nowhere'",
		"secret":    "no_log",
		"missing":   "nothing.yml",
		"include":   "", // newer versions say which role, older ones only in their output
		"bare":      "The image has no python3",
		"unreached": "no play of \"play.yml\" is for \"unreached\": its plays are for all:!unreached",
	} {
		if err := failed[name]; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %q, want it to hold %q", name, err, want)
		}
		if err := failed[name]; err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds the secret", name)
		}
	}
	for _, name := range []string{"rescued", "ignored"} {
		if failed[name] != nil {
			t.Errorf("%s: %v", name, failed[name])
		}
	}
	if !strings.Contains(l.hosts["plain"].String(), "it is full") {
		t.Error("the host's log does not hold what the task said")
	}
	if strings.Contains(l.hosts["secret"].String()+log.String(), "hunter2") {
		t.Error("a log holds the secret")
	}
}

// What is wrong with the playbook itself is an error of the whole run.
func TestBrokenPlaybook(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"syntax.yml":  "- hosts: all\n  tasks:\n    - nosuchmodule: {}\n",
		"skipped.yml": "- hosts: web\n  tasks: []\n",
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}})
	run := func(path string) error {
		p := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: path, Master: "master-x"})
		_, err := p.run(t.Context(), []target{{name: "master-x", enter: []string{"false"}}})
		return err
	}
	if err := run("syntax.yml"); err == nil || !strings.Contains(err.Error(), "nosuchmodule") {
		t.Errorf("got %v, want an error that names the module", err)
	}
	if err := run("skipped.yml"); err == nil || !strings.Contains(err.Error(), "give the master `groups:`") {
		t.Errorf("got %v, want an error that names groups:", err)
	}
}

// Nothing that a run started on the builder outlives it, however it ends.
func TestCancelledRun(t *testing.T) {
	daemon := filepath.Join(t.TempDir(), "pid")
	repo := gittest.Repository(t, map[string]string{
		"hosts": "web1\n",
		"play.yml": `
- hosts: all
  gather_facts: false
  tasks:
    - shell: echo $$ > ` + daemon + `; exec setsid sleep 1000
      delegate_to: localhost
      async: 1000
      poll: 0
    - wait_for: {path: ` + daemon + `}
      delegate_to: localhost
    - name: hang
      command: sleep 1000
`,
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}, ExtraArgs: "-i hosts"})
	p := PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml", Conffs: true}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	p.Progress = onLine(func(line string) {
		if strings.Contains(line, "hang") {
			cancel(errors.New("interrupted"))
		}
	})
	p.Timeout = time.Hour
	_, err := r.Playbook(p).run(ctx, []target{newBox(t, "web1").target})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("got %v, want the reason of the cancellation", err)
	}
	pid, err := os.ReadFile(daemon)
	if err != nil {
		t.Fatal(err)
	}
	if alive(t, strings.TrimSpace(string(pid))) {
		t.Error("a process that a task started on the builder is still there")
	}
	left, err := filepath.Glob(filepath.Join(r.Repository.Dir(), "run-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("working copies are left: %v, %v", left, err)
	}
}

// alive tells a process from one that has ended, reaped or not.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if errors.Is(err, os.ErrNotExist) {
		return false
	} else if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(string(status), "State:\tZ")
}

// onLine is a writer that hands over what it gets.
type onLine func(string)

func (f onLine) Write(b []byte) (int, error) {
	f(string(b))
	return len(b), nil
}

var _ io.Writer = onLine(nil)
