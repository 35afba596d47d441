//go:build integration

package ansible

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
	"vauban/layers"
)

// logs keeps what a run wrote for each host.
type logs struct {
	mu    sync.Mutex
	hosts map[string]*bytes.Buffer
}

func (l *logs) open(host string) (io.WriteCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil {
		l.hosts = map[string]*bytes.Buffer{}
	}
	l.hosts[host] = &bytes.Buffer{}
	return nopCloser{l.hosts[host]}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// apply runs a playbook on the boxes and returns each host's error.
func apply(t *testing.T, r *Controller, o PlaybookOptions, boxes ...box) map[string]error {
	t.Helper()
	if o.Revision.Commit == "" {
		o.Revision = revision(t, r, "")
	}
	if o.Log == nil {
		var log bytes.Buffer
		o.Log = &log
		defer func() {
			if t.Failed() || testing.Verbose() {
				t.Logf("ansible said:\n%s", &log)
			}
		}()
	}
	var targets []target
	for _, b := range boxes {
		targets = append(targets, b.target)
	}
	_, err := r.Playbook(o).run(t.Context(), targets)
	var partial *layers.PartialError
	if errors.As(err, &partial) {
		return partial.Failed
	}
	if err != nil {
		t.Fatal(err)
	}
	return nil
}

func TestMasterRun(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg":        "[defaults]\ninventory = hosts\nremote_tmp = /root/somewhere\n",
		"hosts":              "[web]\nweb1 ansible_host=192.0.2.1 ansible_user=nobody\n[others]\nelsewhere\n",
		"group_vars/web.yml": "greeting: hello\n",
		"play.yml": `
- hosts: web
  become: true
  tasks:
    - copy: {dest: /etc/greeting, content: "{{ greeting }} {{ inventory_hostname }} {{ in_vauban }} {{ in_conffs_build }} {{ vauban }} {{ ansible_hostname }}\n"}
    - shell: echo "$SYSTEMD_OFFLINE $container $(whoami)" > /etc/environ
    - shell: echo "$SYSTEMD_OFFLINE $container $(whoami)"
      become_user: nobody
      register: nobody
    - shell: echo "$SYSTEMD_OFFLINE $container $(whoami)"
      become_user: nobody
      become_method: su
      become_flags: --shell /bin/sh
      register: su
    - copy: {dest: /etc/nobody, content: "{{ nobody.stdout }}\n{{ su.stdout }}\n"}
    - copy: {dest: /var/tmp/by-nobody, content: "x\n"}
      become_user: nobody
    - command: hostname
      delegate_to: localhost
      register: builder
    - copy: {dest: /etc/builder, content: "{{ builder.stdout }}"}
    - fetch: {src: /etc/greeting, dest: fetched/, flat: true}
    - slurp: {src: /etc/greeting}
    - shell: sleep 0.2
      async: 10
      poll: 1
    - script: files/script.sh
    - meta: reset_connection
`,
		"files/script.sh": "#!/bin/sh\necho scripted > /etc/scripted\n",
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}})
	b := newBox(t, "master-web")
	var progress bytes.Buffer
	var l logs
	failed := apply(t, r, PlaybookOptions{Path: "play.yml", Master: "master-web", Groups: []string{"web"}, Output: l.open, Progress: &progress}, b)
	if len(failed) > 0 {
		t.Fatal(failed)
	}
	for path, want := range map[string]string{
		"etc/greeting": "hello master-web True False True master-web\n",
		"etc/environ":  "1 vauban root\n",
		"etc/nobody":   "1 vauban nobody\n1 vauban nobody\n",
		"etc/scripted": "scripted\n",
	} {
		if got := b.read(t, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := b.read(t, "etc/builder"); got == "master-web" {
		t.Errorf("delegate_to: localhost ran in the container")
	}
	if !strings.Contains(progress.String(), "play.yml: Gathering Facts\n") {
		t.Errorf("progress has no task names: %q", progress.String())
	}
	for _, path := range b.changed(t) {
		if strings.Contains(path, "ansible") || strings.Contains(path, "__pycache__") {
			t.Errorf("ansible left %q in the layer", path)
		}
	}
	if !strings.Contains(l.hosts["master-web"].String(), "+hello master-web") {
		t.Error("the host's log has no diff")
	}
}

const neighbours = `
- hosts: web
  serial: 1
  any_errors_fatal: true
  strategy: linear
  gather_facts: false
  tasks:
    - meta: refresh_inventory
    - setup: {gather_subset: min}
    - copy: {dest: /etc/first, content: "{{ inventory_hostname }}\n"}
    - copy: {dest: /etc/once, content: "once\n"}
      run_once: true
    - add_host: {name: "extra-{{ inventory_hostname }}", groups: extra}
    - pause: {seconds: 0}
    - meta: clear_facts
      when: inventory_hostname == 'web2'
    - meta: end_play
      when: inventory_hostname == 'web2'
    - copy: {dest: /etc/last, content: "{{ ansible_facts.distribution }} {{ ansible_play_hosts | join(' ') }} {{ ansible_play_batch | join(' ') }} {{ ansible_play_hosts_all | join(' ') }} {{ play_hosts | join(' ') }}\n"}
- hosts: broken
  gather_facts: false
  tasks:
    - setup: {gather_subset: min}
    - command: "false"
- hosts: web
  gather_facts: false
  tasks:
    - meta: clear_host_errors
    - copy: {dest: /etc/second, content: "{{ 'seen' if hostvars.broken.ansible_facts.distribution is defined else 'not seen' }}\n"}
`

// A host's files are the same, whichever hosts are built with it.
func TestIndependentHosts(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\n",
		"hosts":       "broken\n[web]\nweb1\nweb2\n",
		"play.yml":    neighbours,
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}})
	run := func(names ...string) map[string]box {
		boxes := map[string]box{}
		var list []box
		for _, name := range names {
			boxes[name] = newBox(t, name)
			list = append(list, boxes[name])
		}
		failed := apply(t, r, PlaybookOptions{Path: "play.yml", Master: "m", Conffs: true}, list...)
		for name, err := range failed {
			if name != "broken" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, ok := boxes["broken"]; ok && failed["broken"] == nil {
			t.Error("the broken host did not fail")
		}
		return boxes
	}
	among := run("web1", "broken", "web2")
	for _, name := range []string{"web1", "web2"} {
		alone := run(name)[name]
		if diff := cmp.Diff(alone.files(t), among[name].files(t)); diff != "" {
			t.Errorf("%s: alone (-), among others (+):\n%s", name, diff)
		}
	}
}
