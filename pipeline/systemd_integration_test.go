//go:build integration

package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/pipeline/plan"
)

// database is what roles for a server do: install it, configure it for the
// machine's own address, restart it by a handler, wait for its port, and create
// things in it.
const database = `
- hosts: all
  handlers:
    - name: restart redis
      ansible.builtin.service:
        name: redis-server
        state: restarted
  tasks:
    - ansible.builtin.apt:
        name: [redis-server, dbus]
        install_recommends: false
        update_cache: true
      when: not in_conffs_build
    - ansible.builtin.lineinfile:
        path: /etc/redis/redis.conf
        regexp: '^bind '
        line: bind 127.0.0.1 192.0.2.7
      notify: restart redis
    - ansible.builtin.systemd:
        name: redis-server
        state: started
        enabled: true
    - ansible.builtin.meta: flush_handlers
    - ansible.builtin.wait_for:
        port: 6379
        timeout: 60
    - name: the server has a connection, and the address that the machine will have
      ansible.builtin.shell: |
        set -e
        test {{ ansible_service_mgr }} = systemd
        redis-cli set {{ inventory_hostname }} made
        ss -ltn | grep -F 192.0.2.7:6379
    - name: timers fire, and a unit that has no place in a build can be enabled and started
      ansible.builtin.shell: |
        set -e
        systemd-run --on-active=1 --timer-property=AccuracySec=1ms touch /srv/fired
        systemctl enable --now systemd-networkd
        for i in $(seq 300); do test -e /srv/fired && exit 0; sleep 0.2; done
        exit 1
    - name: what the master's stage made is there for its hosts, and dbus answers since the boot
      ansible.builtin.shell: |
        set -e
        test "$(redis-cli get master-test)" = made
        timedatectl set-timezone Europe/Paris
        hostnamectl hostname {{ inventory_hostname }}
      when: in_conffs_build
`

const databaseInventory = `
all:
  hosts:
    host01:
    host02:
`

// A database's content that playbooks make is in the image, for each host its
// own.
func TestSystemdStages(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": database, "hosts.yml": databaseInventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	cfg := strings.Replace(worldConfig, "stages: [playbook_master.yml]", "init: systemd\n    stages: [playbook_master.yml]", 1)
	write(t, filepath.Join(w.dir, "config.yml"), cfg)
	r, outcomes, err := w.build(t, Options{NoPublish: true, Batch: 2}, plan.Request{Names: []string{"master-test"}, Stage: plan.Conffs, Parents: 1})
	if err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	m := r.Config.Masters()[0]
	for image, keys := range map[string][]string{
		m.Image():             {"master-test"},
		m.HostImage("host01"): {"master-test", "host01"},
		m.HostImage("host02"): {"master-test", "host02"},
	} {
		img, err := r.job(nil).latest(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Engine.Mount(t.Context(), img, func(root string) error {
			data, err := os.ReadFile(filepath.Join(root, "var/lib/redis/dump.rdb"))
			for _, key := range []string{"master-test", "host01", "host02"} {
				want := false
				for _, k := range keys {
					want = want || k == key
				}
				if strings.Contains(string(data), key) != want {
					t.Errorf("%s: that the database holds %q is %v", image, key, !want)
				}
			}
			for _, path := range []string{"run/redis", "var/log/journal/*", "var/tmp/systemd-private-*", "var/lib/systemd/timers/*"} {
				if left, _ := filepath.Glob(filepath.Join(root, path)); len(left) > 0 {
					t.Errorf("%s holds %v", image, left)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
