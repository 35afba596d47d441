//go:build integration

package ansible

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
	"vauban/layers"
)

// The same host gives the same files, built alone or next to a failing one, in
// the engine's own containers; tasks that would touch the builder do not.
func TestHostsOnEngine(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\n",
		"hosts":       "web1\nweb2\n",
		"carried":     "as it was",
		"play.yml": `
- hosts: all
  gather_facts: false
  serial: 1
  tasks:
    - shell: "! date -s 2001-01-01 && ! env /bin/mount -t tmpfs none /mnt"
    - command: sysctl -w vm.swappiness=11
    - systemd: {name: systemd-timesyncd, enabled: false, state: started}
      failed_when: false
    - shell: 'echo "$SYSTEMD_OFFLINE $(id -un)"'
      become: true
      become_user: nobody
      register: who
    - name: what carries a file into the container tries to write to where it is from
      shell: |
        mv /bin/cat /bin/cat.real
        printf '#!/bin/sh\n[ -p /dev/stdin ] || echo stolen >/dev/stdin\nexec cat.real "$@"\n' >/bin/cat
        chmod +x /bin/cat
    - copy: {src: carried, dest: /srv/carried}
      failed_when: false
    - shell: mv /bin/cat.real /bin/cat; rm /srv/carried
    - command: cat carried
      args: {chdir: "{{ playbook_dir }}"}
      delegate_to: localhost
      register: carried
    - fail: {msg: on purpose}
      when: inventory_hostname == 'web2'
    - copy: {dest: /etc/result, content: "{{ inventory_hostname }} {{ who.stdout }} {{ carried.stdout }}\n", mode: "0640", group: daemon}
`,
	})
	swappiness := builder(t, "/proc/sys/vm/swappiness")
	r := open(t, Options{Repository: repository.Options{Repo: repo, Environ: os.Environ()}})
	e, base := engine(t)
	run := func(names ...string) map[string]layers.Result {
		t.Helper()
		var targets []layers.Target
		for _, name := range names {
			o := layers.ContainerOptions{Name: name, MachineID: strings.Repeat("1", 32)}
			targets = append(targets, layers.Target{ContainerOptions: o, Parent: base})
		}
		step := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml", Conffs: true})
		results, err := e.Apply(t.Context(), step, layers.Change{Created: time.Unix(1, 0)}, targets...)
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]layers.Result{}
		for _, result := range results {
			named[result.Name] = result
		}
		return named
	}
	beside := run("web1", "web2")
	if err := beside["web2"].Err; err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("web2: got error %v, want the failing task's", err)
	}
	if err := beside["web1"].Err; err != nil {
		t.Fatal(err)
	}
	alone := run("web1")["web1"]
	if alone.Err != nil {
		t.Fatal(alone.Err)
	}
	if diff := cmp.Diff(tree(t, e, alone.Image), tree(t, e, beside["web1"].Image)); diff != "" {
		t.Errorf("alone (-), beside another (+):\n%s", diff)
	}
	err := e.Mount(t.Context(), alone.Image, func(root string) error {
		data, err := os.ReadFile(filepath.Join(root, "etc/result"))
		if want := "web1 1 nobody as it was\n"; err == nil && string(data) != want {
			t.Errorf("got %q, want %q", data, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if after := builder(t, "/proc/sys/vm/swappiness"); after != swappiness {
		t.Errorf("the builder's swappiness went from %s to %s", swappiness, after)
	}
}

// tree lists an image's files with everything but their dates.
func tree(t *testing.T, e *layers.Engine, img layers.Image) []string {
	t.Helper()
	var lines []string
	err := e.Mount(t.Context(), img, func(root string) error {
		const list = `cd "$1" && { find . -xdev -printf '%p %y %m %U %G %l\n'; find . -xdev -type f -exec sha256sum {} +; } | sort`
		lines = strings.Split(output(t, "sh", "-c", list, "sh", root), "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func builder(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
