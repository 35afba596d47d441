//go:build integration

package ansible

import (
	"os"
	"strings"
	"testing"
	"time"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
	"vauban/internal/treecmp"
	"vauban/layers"
)

// everyday is what Debian's Mitogen can run: it fails `service:` and `package:`.
const everyday = `
- hosts: web
  serial: 1
  become: true
  handlers:
    - name: note
      copy: {dest: /etc/noted, content: "{{ ansible_play_hosts | join(',') }}\n"}
  tasks:
    - file: {path: /srv/app, state: directory, mode: "2750", group: daemon}
    - template: {src: app.conf, dest: /srv/app/app.conf, mode: "0640", validate: grep -q name %s}
      notify: note
    - copy: {src: data, dest: /srv/app/}
    - user: {name: app, system: true, uid: 940, home: /srv/app, create_home: false}
    - lineinfile: {path: /etc/environment, line: A=b, create: true}
    - shell: id -un > who && umask >> who && cat /proc/self/status | grep ^Cap >> who && env | grep -E '^(SYSTEMD_OFFLINE|container|DEBIAN_FRONTEND|LC_ALL|PATH|HOME)=' | sort >> who
      args: {chdir: /srv/app}
    - shell: "id -un; grep ^Cap /proc/self/status; env | grep -E '^(SYSTEMD_OFFLINE|container|DEBIAN_FRONTEND|LC_ALL)=' | sort"
      become_user: nobody
      register: other
    - copy: {dest: /srv/app/other, content: "{{ other.stdout }}\n"}
    - copy: {dest: /var/tmp/by-nobody, content: "x\n"}
      become_user: nobody
    - shell: "! date -s 2001-01-01 && ! mount -t tmpfs none /mnt && ! chroot /proc/1/root true || true"
    - shell: grep -c . /proc/self/cgroup > /dev/null && cat /proc/self/cgroup
      register: cgroups
      changed_when: false
    - assert: {that: "'vauban' in cgroups.stdout"}
    - command: hostname
      delegate_to: localhost
      register: builder
    - assert: {that: builder.stdout != inventory_hostname}
    - slurp: {src: /etc/hostname}
      register: name
    - copy: {dest: /etc/name, content: "{{ name.content | b64decode }}"}
    - fetch: {src: /etc/name, dest: fetched/}
    - script: files/script.sh
    - command: sleep 0.1
      async: 60
      poll: 1
    - meta: reset_connection
    - apt: {name: base-files, state: present}
    - command: hostname
      run_once: true
      register: once
    - copy: {dest: /etc/once, content: "{{ once.stdout }}\n"}
    - fail: {msg: on purpose}
      when: inventory_hostname == 'web2'
    - copy: {dest: /etc/systemd/system/canary.service, content: "[Service]\nUser=nobody\nRuntimeDirectory=canary\n"}
    - copy: {dest: /etc/validated, content: "x\n", validate: test -d /run/canary -a -f %s}
    - {name: mount all, command: mount -a}
    - synchronize: {src: data/, dest: /srv/synchronized/}
    - synchronize: {src: /srv/synchronized/, dest: /srv/synchronized-there}
      delegate_to: "{{ inventory_hostname }}"
`

// byFacts are the tasks whose module's name comes from a fact.
const byFacts = `
    - service: {name: getty@tty1, enabled: false, state: restarted}
    - package: {name: base-files, state: present}
`

// What Mitogen makes is what ansible makes by itself, for a master and for
// hosts, and what it runs inside can do no more.
func TestMitogen(t *testing.T) {
	files := map[string]string{
		"hosts":              "[web]\nweb1 mitogen_via=elsewhere\nweb2\n[others]\nelsewhere\n",
		"play.yml":           everyday,
		"templates/app.conf": "name = {{ inventory_hostname }} {{ ansible_hostname }} {{ ansible_service_mgr }}\n",
		"files/data/a/b":     "data\n",
		"files/script.sh":    "#!/bin/sh\necho scripted > /etc/scripted\n",
	}
	core, installed, err := Versions(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if MitogenTrouble(core, installed) == "" {
		files["play.yml"] += strings.TrimPrefix(byFacts, "\n")
	}
	e, base := engine(t)
	run := func(cfg string, conffs bool, names ...string) map[string]layers.Result {
		t.Helper()
		files["ansible.cfg"] = "[defaults]\ninventory = hosts\n" + cfg
		r := open(t, Options{Repository: repository.Options{Repo: gittest.Repository(t, files), Environ: os.Environ()}})
		var targets []layers.Target
		for _, name := range names {
			o := layers.ContainerOptions{Name: name, MachineID: strings.Repeat("1", 32)}
			targets = append(targets, layers.Target{ContainerOptions: o, Parent: base})
		}
		passed := map[string]int{}
		step := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml", Master: "master-web", Groups: []string{"web"}, Conffs: conffs,
			Passed: func(all []Passed) {
				for _, p := range all {
					passed[p.Host+": "+p.String()]++
				}
			}})
		results, err := e.Apply(t.Context(), step, layers.Change{Created: time.Unix(1, 0)}, targets...)
		if err != nil {
			t.Fatal(err)
		}
		const mount = `web1: "mount all" (play.yml:50): mount: a stage mounts nothing; what later tasks write there is in the image`
		if passed[mount] != 1 {
			t.Errorf("skipped with %q: %v", cfg, passed)
		}
		named := map[string]layers.Result{}
		for _, result := range results {
			named[result.Name] = result
		}
		return named
	}
	same := func(name string, plain, mitogen layers.Result) {
		t.Helper()
		if plain.Err != nil || mitogen.Err != nil {
			t.Fatalf("%s: plain: %v, with Mitogen: %v", name, plain.Err, mitogen.Err)
		}
		err := e.Mount(t.Context(), plain.Image, func(want string) error {
			return e.Mount(t.Context(), mitogen.Image, func(got string) error {
				for _, d := range treecmp.Compare(want, got, treecmp.Options{SkipMtime: func(string) bool { return true }}) {
					t.Errorf("%s: %s", name, d)
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	}
	const asked = "strategy = mitogen_free\n"
	plain, mitogen := run("", true, "web1"), run(asked, true, "web1", "web2")
	same("web1", plain["web1"], mitogen["web1"])
	same("web1, as a master", plain["web1"], run(asked, false, "web1")["web1"])
	if err := mitogen["web2"].Err; err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("web2: got error %v, want the failing task's", err)
	}
}
