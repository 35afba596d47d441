//go:build integration

package ansible

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
	"vauban/layers"
)

// running are tasks that want a running machine; each name begins with what is
// noted of it, or with "fine" where nothing is left out.
const running = `
- hosts: all
  gather_facts: false
  tasks:
    - name: "fine: of the builder is nothing here"
      copy: {dest: /srv/defaults, content: "{{ ansible_processor_cores | default(2) }} {{ ansible_facts.processor_cores | default(3) }} {{ ansible_system_vendor }}\n"}
- hosts: all
  tasks:
    - name: "mount: mounted"
      mount: {path: /srv/data, src: tmpfs, fstype: tmpfs, opts: "size=1m,ro", state: mounted}
    - name: "mount: remounted"
      ansible.posix.mount: {path: /srv/data, state: remounted}
    - name: "mount: ephemeral"
      ansible.posix.mount: {path: /srv/ephemeral, src: tmpfs, fstype: tmpfs, state: ephemeral}
    - name: "fine: unmounted, as nothing is mounted"
      mount: {path: /srv/data, state: unmounted}
    - name: "mount: for a moment"
      mount: {path: /srv/moment, src: tmpfs, fstype: tmpfs, state: mounted}
    - name: "fine: absent, with its mount point"
      mount: {path: /srv/moment, state: absent}
    - name: "mount: / read-only"
      command: mount -o remount,ro /
    - name: "fine: not read-only and not mounted over"
      copy: {dest: /srv/data/file, content: "here\n"}
    - name: "fine: hostname"
      hostname: {name: renamed}
    - name: "hostnamectl: hostname by systemd"
      hostname: {name: again, use: systemd}
    - name: "timedatectl: timezone"
      community.general.timezone: {name: Europe/Berlin}
    - name: "modprobe: by command"
      command: modprobe canary
    - name: "modprobe: module"
      community.general.modprobe: {name: canary, params: "a=1 b=2", persistent: present}
    - name: "modprobe: by its short name"
      modprobe: {name: canary, state: absent}
    - name: "firewalld: at once and for ever"
      firewalld: {service: https, permanent: true, immediate: "yes", state: enabled}
    - name: "firewalld: until it is restarted"
      firewalld: {service: dns, state: enabled}
    - name: "fine: for ever"
      firewalld: {service: ntp, permanent: true, state: enabled}
    - name: "shutdown: action"
      community.general.shutdown:
    - name: "sysctl: a key that no kernel has"
      ansible.posix.sysctl: {name: net.canary.key, value: "1", sysctl_file: /etc/sysctl.d/canary.conf}
    - name: "fine: a key that there is"
      ansible.posix.sysctl: {name: vm.swappiness, value: "7", sysctl_set: true}
    - name: "reboot: action"
      reboot: {reboot_timeout: 600}
    - name: "reboot: by its other name"
      ansible.builtin.reboot:
      become: true
      become_user: nobody
    - name: "shutdown: by path"
      shell: "true && /sbin/shutdown -r now 'canary'"
    - name: "reboot: by path, without a shell"
      command: {argv: [/usr/sbin/reboot, -f]}
    - name: "reboot: in the background"
      shell: "sleep 1; reboot"
      async: 60
      poll: 0
    - name: "fine: a secret job may end badly"
      command: "false"
      async: 60
      poll: 0
      no_log: true
      register: secret
    - name: "fine: where a task takes care of it"
      async_status: {jid: "{{ secret.ansible_job_id }}"}
      register: status
      until: status.finished
      retries: 60
      delay: 1
      failed_when: false
    - name: "fine: and so may another"
      command: "false"
      async: 60
      poll: 0
      no_log: "{{ item == 1 }}"
      loop: [1]
      register: secret
    - name: "fine: where that task is secret too"
      async_status: {jid: "{{ secret.results[0].ansible_job_id }}"}
      register: status
      until: status.finished
      retries: 60
      delay: 1
      failed_when: false
      no_log: true
    - name: "reboot: raw"
      raw: /sbin/reboot
    - name: "swapon: with a PATH of its own"
      command: swapon /srv/swap
      environment: {PATH: "/usr/sbin:/usr/bin:/sbin:/bin"}
    - name: "mount: through sudo to root, which is nothing"
      command: mount -a
      become: true
    - name: "fine: who is not root cannot"
      command: mount -a -t nosuchtype
      become: true
      become_user: nobody
      failed_when: false
    - name: "fine: sudo and su keep what is needed"
      shell: command -v mount; echo $SYSTEMD_OFFLINE
      become: true
      become_user: nobody
      become_method: "{{ item }}"
      become_flags: "{{ '-H -S -n' if item == 'sudo' else '--shell /bin/sh' }}"
      loop: [sudo, su]
      register: kept
    - assert:
        that: kept.results | map(attribute='stdout_lines') | unique == [['/usr/bin/mount', '1']]
    - name: "fine: where commands are"
      shell: which sysctl hostnamectl hostname; command -v nosuch netplan firewall-cmd
      register: where
      failed_when: where.stdout_lines != ['/usr/sbin/sysctl', '/usr/bin/hostnamectl', '/usr/bin/hostname']
    - name: "wait_for: port"
      wait_for: {port: 4711, timeout: 60, delay: 30}
    - name: "wait_for: port of another"
      ansible.builtin.wait_for: {host: other, port: 4711, timeout: 60}
    - name: "wait_for: port of this one, from the builder"
      wait_for: {host: 192.0.2.1, port: 4711, timeout: 60}
      delegate_to: localhost
    - name: "wait_for: socket"
      wait_for: {path: /run/canary.sock, timeout: 60}
    - name: "shell: settings of the kernel"
      shell: |
        set -e
        for name in enabled defrag; do
          if [ -e /sys/kernel/mm/transparent_hugepage/$name ]; then echo never >/sys/kernel/mm/transparent_hugepage/$name; fi
        done
      register: huge
      failed_when: huge.rc != 0
    - name: "shell: by another command"
      shell: {cmd: echo never | tee /sys/kernel/mm/transparent_hugepage/enabled, executable: /bin/bash}
    - name: "fine: but not with others"
      shell: echo never >/sys/kernel/mm/transparent_hugepage/enabled && touch /srv/after
      register: huge
      failed_when: huge.rc == 0
    - name: "uri: until a service answers"
      uri: {url: "http://localhost:4711/health", status_code: [204, 200]}
      register: health
      until: health.status == 204
      retries: 60
    - name: "fine: who only asks is told"
      uri: {url: "http://localhost:4711/health"}
      register: health
      failed_when: health.status != -1
    - name: "wait_for: what a service logs"
      wait_for: {path: /var/log/canary.log, search_regex: started, timeout: 60}
    - name: "fine: somebody opens this port in a moment"
      shell: |
        cat >/tmp/server <<'END'
        import socket, time
        time.sleep(3)
        listener = socket.create_server(("127.0.0.1", 4712))
        time.sleep(30)
        END
        setsid python3 /tmp/server >/dev/null 2>&1 &
    - name: "fine: it waits for it"
      wait_for: {port: 4712, timeout: 60}
    - name: "fine: and for its own connection"
      wait_for_connection: {delay: 60, timeout: 60}
    - name: "fine: a unit's runtime directory is there at once"
      copy:
        dest: /etc/systemd/system/canary.service
        content: "[Service]\nUser=www-data\nRuntimeDirectory=canary\n"
    - name: "fine: for who asks for it"
      copy: {dest: /srv/validated, content: "x\n", validate: "test -d /run/canary -a -f %s"}
    - name: "fine: of packages"
      debug: {msg: "{{ ansible_env }}"}
      failed_when: "'vauban' in ansible_env.PATH or 'VAUBAN_TASK' in ansible_env or ansible_env.HOME != '/root' or ansible_env.SHELL != '/bin/sh' or ansible_env.USER != ansible_env.LOGNAME"
    - name: "fine: no container"
      assert: {that: ["ansible_virtualization_type == 'NA'", "ansible_virtualization_role == 'NA'", "ansible_service_mgr == 'systemd'"]}
    - name: "fine: no mounts of the container's"
      assert:
        that: ansible_mounts | selectattr('mount', 'match', '^(/tmp|/run|/var/cache/apt|/var/lib/apt)') | list == []
    - name: "fine: AppArmor is in the kernel of the machine to be"
      assert: {that: ansible_apparmor.status == 'enabled'}
    - name: "fine: facts are the machine's to be"
      assert: {that: ["ansible_processor_vcpus == 77", "ansible_facts.processor_vcpus == 77", "ansible_memtotal_mb == 4321", "ansible_processor_count is number"]}
    - name: "fine: but here some are the builder's"
      copy: {dest: /srv/facts, content: "{{ cores }} {{ ansible_memtotal_mb }} {{ ansible_distribution }}\n"}
      vars: {cores: "{{ ansible_facts.processor_cores }}"}
      when: ansible_swaptotal_mb >= 0
    - name: "fine: a kernel of the image"
      file: {path: /lib/modules/6.1.0-77/kernel, state: directory}
    - setup: {gather_subset: [min], filter: ansible_kernel}
    - name: "fine: the machine's, which nobody needs to give"
      copy: {dest: /srv/kernel, content: "{{ ansible_facts.kernel }} {{ ansible_facts.kernel | default('x') }}\n"}
    - name: "fine: a service that is started"
      systemd: {name: canary, state: started, daemon_reload: true}
    - copy: {dest: /etc/systemd/system/halted.service, content: "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"}
    - name: "fine: and one that is stopped"
      service: {name: halted, state: stopped, enabled: true}
    - name: "fine: the first answers at once"
      systemd: {name: canary}
      register: asked
      until: asked.status.ActiveState == 'active'
      failed_when: asked.status.FragmentPath != '/etc/systemd/system/canary.service'
      retries: 3
      delay: 1
    - name: "fine: and is stopped once"
      service: {name: canary, state: stopped}
      register: stopped
      loop: [1, 2]
      failed_when: stopped is changed != (item == 1)
    - name: "fine: as in old playbooks"
      command: "{{ item }}"
      loop: [service canary restart, /etc/init.d/canary reload, invoke-rc.d halted stop, "/bin/systemctl enable --now getty@tty5"]
    - command: {argv: [/etc/init.d/canary, status]}
      register: asked
      failed_when: "'active (running)' not in asked.stdout"
    - name: "fine: services"
      service_facts:
    - name: "fine: are those that the machine will have"
      assert:
        that:
          - services['canary.service'] == {'name':'canary.service', 'state':'running', 'status':'static', 'source':'systemd'}
          - services['halted.service'].state == 'inactive' and services['halted.service'].status == 'enabled'
          - services['systemd-journald.service'].state == 'running'
          - services['systemd-modules-load.service'].state == 'stopped'
          - services['getty@.service'].state == 'unknown'
          - services['apt-daily.service'].state == 'inactive'
          - "'procps' in services"
    - copy: {dest: /srv/passwords, mode: "0600", content: "{{ lookup('password', 'made/up') }} {{ lookup('password', 'kept') }} {{ lookup('password', '/dev/null') }}"}
    - name: "fine: nor of what is edited"
      lineinfile: {path: /srv/edited, create: true, line: "{{ ansible_processor_cores }}"}
    - name: "fine: a setting of the kernel"
      ansible.posix.sysctl: {name: vm.swappiness, value: "{{ [ansible_processor_cores, 90] | min }}", sysctl_file: /srv/sysctl.conf}
    - name: "fine: a mount"
      mount: {path: /srv/sized, src: tmpfs, fstype: tmpfs, opts: "size={{ ansible_processor_cores }}m", state: present, fstab: /srv/fstab}
    - name: "fine: systemd knows of none either"
      command: systemd-detect-virt --container
      failed_when: false
      register: virt
    - copy: {dest: /srv/virt, content: "{{ virt.stdout }}\n"}
`

// ofFirewalld does what the module of ansible.posix does where no firewalld runs.
const ofFirewalld = `#!/usr/bin/python3
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({'service': {}, 'state': {}, 'permanent': {'type': 'bool'}, 'immediate': {'type': 'bool'}})
if module.params['immediate'] or not module.params['permanent']:
    module.fail_json(msg='firewall is not currently running, unable to perform immediate actions without a running firewall daemon')
with open('/srv/firewalld', 'a') as file:
    file.write(module.params['service'] + '\n')
module.exit_json(changed=True)
`

// Tasks that want a running machine pass, are listed, in the image too, and
// --strict refuses them; the part of them that is a file is done.
func TestRunningMachine(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg":          "[defaults]\ninventory = hosts\n",
		"hosts":                "web1 ansible_host=192.0.2.1 ansible_processor_vcpus=77 ansible_processor_count='{{ one }}' ansible_system_vendor=own\nother\n",
		"play.yml":             running,
		"library/firewalld.py": ofFirewalld,
		"kept":                 "of the repository\n",
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo, Environ: os.Environ()}})
	e, base := engine(t)
	var told []Passed
	var notices []string
	o := PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml", Master: "web1", Log: t.Output(), Facts: map[string]any{"ansible_memtotal_mb": 4321, "processor_vcpus": 5},
		Passed: func(p []Passed) { told = p }, Notice: func(host, text string) { notices = append(notices, host+": "+text) }}
	start := time.Now()
	results, err := e.Apply(t.Context(), r.Playbook(o), layers.Change{Created: time.Unix(1, 0)},
		layers.Target{ContainerOptions: layers.ContainerOptions{Name: "web1"}, Parent: base})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Err != nil {
		t.Fatal(results[0].Err)
	}
	t.Logf("the playbook took %s", time.Since(start))
	img := results[0].Image

	noted := map[string]bool{}
	for _, p := range told {
		noted[p.Task] = true
		command, _, _ := strings.Cut(p.Task, ":")
		if !strings.HasPrefix(p.What, command) {
			t.Errorf("of task %q this is noted: %s", p.Task, p.What)
		}
		if p.Host != "web1" || !strings.HasPrefix(p.Path, "play.yml:") || strings.Contains(p.What, "canary'") {
			t.Errorf("%+v", p)
		}
	}
	for line := range strings.Lines(running) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), `- name: "`)
		name = strings.TrimSuffix(name, `"`)
		if ok && !strings.HasPrefix(name, "fine") && !noted[name] {
			t.Errorf("nothing is noted of task %q", name)
		}
	}
	var want []string
	for _, file := range []string{"facts", "edited", "sysctl.conf", "fstab"} {
		want = append(want, "web1: /srv/"+file+" was written from ansible_processor_cores of the builder")
	}
	want = append(want, ": lookup('password') made up made/up, for this run")
	if len(notices) != len(want) {
		t.Errorf("got notices %q, want %d", notices, len(want))
	}
	for i, begin := range want[:min(len(want), len(notices))] {
		if !strings.HasPrefix(notices[i], begin) {
			t.Errorf("got notice %q, want %q", notices[i], begin)
		}
	}
	var label []Passed
	if err := json.Unmarshal([]byte(img.Config.Config.Labels[LabelPassed]), &label); err != nil || len(label) != len(told) {
		t.Errorf("the image's label lists %d of %d, error %v", len(label), len(told), err)
	}

	err = e.Mount(t.Context(), img, func(root string) error {
		for path, want := range map[string]string{
			"etc/fstab":                      "tmpfs /srv/data tmpfs size=1m,ro 0 0\n",
			"srv/data/file":                  "here\n",
			"etc/hostname":                   "again\n",
			"etc/sysctl.d/canary.conf":       "net.canary.key=1\n",
			"srv/virt":                       "none\n",
			"etc/modprobe.d/canary.conf":     "options canary a=1\noptions canary b=2\n",
			"etc/modules-load.d/canary.conf": "canary\n",
			"srv/defaults":                   "2 3 own\n",
			"srv/kernel":                     "6.1.0-77 6.1.0-77\n",
			"srv/firewalld":                  "https\nntp\n",
		} {
			data, err := os.ReadFile(filepath.Join(root, path))
			if !strings.HasSuffix(string(data), want) {
				t.Errorf("%s holds %q, want %q, error %v", path, data, want, err)
			}
		}
		if zone, _ := os.Readlink(filepath.Join(root, "etc/localtime")); zone != "../usr/share/zoneinfo/Europe/Berlin" {
			t.Errorf("/etc/localtime leads to %q", zone)
		}
		if _, err := os.Stat(filepath.Join(root, "srv/ephemeral")); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(root, "srv/moment")); !os.IsNotExist(err) {
			t.Errorf("an absent mount point is there, error %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	// the next stage lists its own, and being strict fails
	o.Path, o.Strict = "play.yml", true
	targets := []layers.Target{{ContainerOptions: layers.ContainerOptions{Name: "web1"}, Parent: img}}
	for _, test := range []struct{ play, want string }{
		{"- hosts: all\n  gather_facts: false\n  tasks: [{command: sysctl -n vm.swappiness}]\n", ""},
		{"- hosts: all\n  gather_facts: false\n  tasks: [{name: restart it, command: /sbin/reboot}]\n",
			`--strict: task "restart it" (play.yml:3): reboot: a stage does not reboot`},
	} {
		gittest.Commit(t, repo, map[string]string{"play.yml": test.play})
		r := open(t, Options{Repository: repository.Options{Repo: repo, Environ: os.Environ()}})
		o.Revision = revision(t, r, "")
		results, err := e.Apply(t.Context(), r.Playbook(o), layers.Change{Created: time.Unix(1, 0)}, targets...)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(results[0].Err); !strings.Contains(got, test.want) || (test.want == "") != (results[0].Err == nil) {
			t.Errorf("%s: got error %s, want %s", test.play, got, test.want)
		}
		if results[0].Err == nil {
			if list, ok := results[0].Image.Config.Config.Labels[LabelPassed]; ok {
				t.Errorf("the list of the stage before is still there: %s", list)
			}
		}
	}
}
