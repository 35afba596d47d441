//go:build integration

package ansible

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

// Each task of these plays is for another place than its host.
const delegation = `
- hosts: web1
  gather_facts: false
  tasks:
    - copy: {dest: /etc/from-web1, content: "x\n"}
      delegate_to: web2
    - set_fact: {harmless: 1}
      delegate_to: elsewhere
      delegate_facts: true
    - command: hostname
      delegate_to: balancer1
      register: balancer
    - command: "true"
      delegate_to: "{{ item }}"
      loop: [localhost, web2, 127.0.0.1]
    - shell: mkdir -p {{ canary }} && touch {{ canary }}/a
      delegate_to: elsewhere
      register: elsewhere
      ignore_errors: true
    - shell: mkdir -p {{ canary }} && touch {{ canary }}/b
      delegate_to: "{{ item }}"
      loop: [web2, 192.0.2.7]
      register: address
      ignore_errors: true
    - shell: mkdir -p {{ canary }} && touch {{ canary }}/c
      vars: {ansible_connection: local}
      register: local
      ignore_errors: true
    - shell: mkdir -p {{ canary }} && touch {{ canary }}/d
      connection: local
    - copy:
        dest: /etc/refused
        content: |
          {{ elsewhere.msg }}
          {{ address.results | default([address]) | map(attribute='msg') | join(' ') }}
          {{ local.msg }}
    - shell: sleep 10; echo x >/etc/late
      delegate_to: web2
      async: 60
      poll: 0
    - add_host: {name: newcomer, groups: newcomers, ansible_connection: local}
- hosts: newcomers
  gather_facts: false
  tasks:
    - shell: mkdir -p {{ canary }} && touch {{ canary }}/e
`

// No task reaches a machine that is not built, whatever way it is written.
func TestDelegation(t *testing.T) {
	canary := t.TempDir()
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\n",
		"hosts": "web1\nweb2\nelsewhere ansible_connection=local\nbalancer1 ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n" +
			"[all:vars]\ncanary=" + canary + "\n",
		"host_vars/web1.yml": "ansible_connection: local\nansible_python_interpreter: /nowhere\nansible_user: nobody\n",
		"play.yml":           delegation,
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}, DelegateHosts: []string{"balancer*"}})
	web1, web2 := newBox(t, "web1"), newBox(t, "web2")
	for name, err := range apply(t, r, PlaybookOptions{Path: "play.yml", Conffs: true}, web1, web2) {
		// web2 is only delegated to
		if name != "web2" || !strings.Contains(err.Error(), "no play") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := web2.read(t, "etc/from-web1"); got != "x\n" {
		t.Errorf("the task for web2 did not run there: %q", got)
	}
	if got := web2.read(t, "etc/late"); got != "x\n" {
		t.Errorf("the job in web2 was not waited for: %q", got)
	}
	refused := strings.Split(web1.read(t, "etc/refused"), "\n")
	for i, want := range []string{"would reach elsewhere", "would reach 192.0.2.7", "would reach it by local"} {
		if !strings.Contains(refused[i], want) {
			t.Errorf("refusal %d: got %q, want it to hold %q", i, refused[i], want)
		}
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if exists(canary + "/" + name) {
			t.Errorf("task %s ran on the builder", name)
		}
	}
}

// Under together, plays see their neighbours and run_once is once.
func TestTogether(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\nstrategy = free\n",
		"hosts":       "[web]\nweb1\nweb2\n",
		"play.yml": `
- hosts: web
  gather_facts: false
  tasks:
    - setup: {gather_subset: min}
    - copy: {dest: /etc/once, content: "{{ inventory_hostname }}\n"}
      run_once: true
    - copy: {dest: /etc/peers, content: "{{ ansible_play_hosts | map('extract', hostvars, ['ansible_facts', 'hostname']) | join(' ') }}\n"}
`,
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}})
	boxes := []box{newBox(t, "web1"), newBox(t, "web2")}
	if failed := apply(t, r, PlaybookOptions{Path: "play.yml", Conffs: true, Mode: Together}, boxes...); len(failed) > 0 {
		t.Fatal(failed)
	}
	for _, b := range boxes {
		if got := b.read(t, "etc/peers"); got != "web1 web2\n" {
			t.Errorf("%s sees %q", b.name, got)
		}
	}
	if _, ok := boxes[1].files(t)["/etc/once"]; ok {
		t.Error("run_once ran on each host")
	}
}

// Under together, one that fails takes the others with it; alone, it does not.
func TestSharedFailure(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\n",
		"hosts":       "web1\nweb2\n",
		"play.yml": `
- hosts: web1
  gather_facts: false
  tasks:
    - command: "false"
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: /etc/second, content: "{{ hostvars.elsewhere.ansible_facts.role }}\n"}
`,
	})
	facts := t.TempDir()
	if err := os.WriteFile(filepath.Join(facts, "elsewhere.json"), []byte(`{"ansible_facts": {"ansible_role": "database"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	gittest.Commit(t, repo, map[string]string{"hosts": "web1\nweb2\nelsewhere\n"})
	r := open(t, Options{Repository: repository.Options{Repo: repo}, FactsFrom: facts})
	for mode, want := range map[string]string{Together: "built together with web1", Alone: ""} {
		web2 := newBox(t, "web2")
		failed := apply(t, r, PlaybookOptions{Path: "play.yml", Conffs: true, Mode: mode}, newBox(t, "web1"), web2)
		if failed["web1"] == nil {
			t.Errorf("%s: web1 did not fail", mode)
		}
		if err := failed["web2"]; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v for web2, want %q", mode, err, want)
		}
		if mode == Alone && web2.read(t, "etc/second") != "database\n" {
			t.Errorf("the facts of a host that is not built were not lent: %q", web2.read(t, "etc/second"))
		}
	}
}

// Under independent the same play fails, and the error names the setting; what
// would not fail and be wrong is told of.
func TestNeighbourHint(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\n",
		"hosts":       "[web]\nweb1 port=1\nweb2 port=1\n",
		"play.yml": `
- hosts: web2
  gather_facts: false
  tasks:
    - {name: "fine: alone in its play", debug: {msg: "{{ ansible_play_hosts }}"}}
- hosts: web
  gather_facts: false
  tasks:
    - {name: "fine: the inventory", debug: {msg: "{{ groups.web | map('extract', hostvars, 'port') | list }} {{ hostvars.web2.ansible_host | default('') }} {{ hostvars.localhost.ansible_fqdn | default('') }}"}}
    - {name: "fine: its own", debug: {msg: "{{ hostvars[inventory_hostname].ansible_fqdn | default('') }}"}}
    - {name: "fine: once", command: "true", run_once: true, register: once, changed_when: false}
    - {name: "reads ansible_play_hosts", debug: {msg: "{{ ansible_play_hosts | length }}"}}
    - {name: "reads ansible_play_hosts_all: condition", debug: , when: "inventory_hostname == ansible_play_hosts_all[0]"}
    - {name: "reads ansible_play_batch", debug: , loop: "{{ ansible_play_batch }}"}
    - {name: "reads play_hosts", set_fact: {seen: x}, delegate_to: "{{ play_hosts | first }}"}
    - {name: "reads ansible_fqdn of web2", debug: {msg: "{{ hostvars.web2.ansible_fqdn | default('') }}"}, when: inventory_hostname == 'web1'}
    - {name: "reads ansible_facts of web2", debug: {msg: "{{ groups.web | map('extract', hostvars, ['ansible_facts', 'fqdn']) | map('default', '') | list }}"}, when: inventory_hostname == 'web1'}
    - {name: "registers key", command: echo made, run_once: true, register: key}
    - name: write the peer's address
      copy: {dest: /etc/peer, content: "{{ hostvars['web2'].ansible_facts.hostname }}\n"}
      when: inventory_hostname == 'web1'
`,
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}})
	var notices []string
	o := PlaybookOptions{Path: "play.yml", Conffs: true, Notice: func(_, text string) { notices = append(notices, text) }}
	failed := apply(t, r, o, newBox(t, "web1"), newBox(t, "web2"))
	if len(failed) != 1 || failed["web1"] == nil {
		t.Fatalf("got %v, want web1 alone to fail", failed)
	}
	for _, want := range []string{`task "write the peer's address" (play.yml:19)`, "hostvars of web2", "ansible_run: together"} {
		if !strings.Contains(failed["web1"].Error(), want) {
			t.Errorf("got %q, want it to hold %q", failed["web1"], want)
		}
	}
	told := strings.Join(notices, "\n")
	if strings.Contains(told, `"fine`) {
		t.Errorf("needlessly told of: %s", told)
	}
	for _, want := range []string{
		`task "reads ansible_play_hosts" (play.yml:12) reads ansible_play_hosts: each host is built as if it were alone, and its play is for 2: `,
		`condition" (play.yml:13) reads ansible_play_hosts_all: `,
		`(play.yml:14) reads ansible_play_batch: `,
		`(play.yml:15) reads play_hosts: `,
		`(play.yml:16) reads ansible_fqdn of web2: `,
		`(play.yml:17) reads ansible_facts of web2: `,
		`(play.yml:18) registers key, with run_once: `,
	} {
		if strings.Count(told, want) != 1 {
			t.Errorf("%q is not told once of:\n%s", want, told)
		}
	}
}

// What one host registers or sets with run_once is not its neighbour's, whoever
// is later: both wait until both have done so.
func TestRunOnceIsEachHostsOwn(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\n",
		"hosts":       "web1\nweb2\n",
		"play.yml": `
- hosts: all
  gather_facts: false
  tasks:
    - {command: hostname, run_once: true, register: once}
    - {set_fact: {set: "{{ inventory_hostname }}"}, run_once: true}
    - shell: 'touch "$MEET/{{ inventory_hostname }}"; while [ $(ls "$MEET" | wc -l) -lt 2 ]; do sleep 0.1; done'
      delegate_to: localhost
    - copy: {dest: /etc/once, content: "{{ once.stdout }} {{ set }}\n"}
`,
	})
	r := open(t, Options{Forks: 2, Repository: repository.Options{Repo: repo, Environ: append(os.Environ(), "MEET="+t.TempDir())}})
	boxes := []box{newBox(t, "web1"), newBox(t, "web2")}
	if failed := apply(t, r, PlaybookOptions{Path: "play.yml", Conffs: true}, boxes...); len(failed) > 0 {
		t.Fatal(failed)
	}
	for _, b := range boxes {
		if got, want := b.read(t, "etc/once"), b.name+" "+b.name+"\n"; got != want {
			t.Errorf("%s: got %q, want %q", b.name, got, want)
		}
	}
}

// renamed hides from our plugins what they take hold of, as another version of
// ansible might, but not from ansible.
const renamed = `
import functools
from ansible.executor.task_executor import TaskExecutor
from ansible.plugins.callback import CallbackBase

original = TaskExecutor._get_action_handler_with_module_context
del TaskExecutor._get_action_handler_with_module_context

def find(self, name):
    if name == '_get_action_handler_with_module_context':
        return functools.partial(original, self)
    raise AttributeError(name)

TaskExecutor.__getattr__ = find

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'aggregate'
    CALLBACK_NAME = 'renamed'
`

// A version that our plugins do not know runs all the same, and it is said once
// what is missed.
func TestUnknownVersion(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"callback_plugins/renamed.py": renamed,
		"play.yml":                    "- hosts: all\n  gather_facts: false\n  tasks: [{command: touch /etc/touched}]\n",
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo}})
	var notices []string
	o := PlaybookOptions{Path: "play.yml", Master: "m", Notice: func(_, text string) { notices = append(notices, text) }}
	b := newBox(t, "m")
	if failed := apply(t, r, o, b); len(failed) > 0 {
		t.Fatal(failed)
	}
	b.read(t, "etc/touched")
	if len(notices) != 1 || !strings.Contains(notices[0], "tasks that need a running machine") {
		t.Errorf("got notices %q, want one of what is missed", notices)
	}
}
