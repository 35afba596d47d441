//go:build integration

package pipeline

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"vauban/config"
	"vauban/pipeline/identities"
	"vauban/pipeline/plan"
	"vauban/vault"
)

const inventory = `
all:
  hosts:
    host01:
    host02:
    host03:
`

// intruder tries to change every part of the builder that a role might.
const intruder = `
- hosts: all
  gather_facts: false
  tasks:
    - name: tasks that succeed and stay inside
      ansible.builtin.shell: "{{ item }}"
      loop:
        - iptables -A INPUT -p tcp --dport 9 -j DROP
        - nft add table inet intruder
        - ip addr add 192.0.2.77/32 dev lo
        - ip link add intruder0 type dummy || ip link set lo mtu 1400
        - sysctl -w vm.swappiness=11
        - sysctl -w net.ipv4.ip_forward=1
        - test "$(sysctl -n vm.swappiness)" = 11
        - echo 192.0.2.78 intruder >>/etc/hosts
        - echo nameserver 192.0.2.79 >/etc/resolv.conf
    - name: tasks that are refused, with the real commands
      ansible.builtin.shell: "! {{ item }}"
      loop:
        - date -s 2001-01-01
        - env /sbin/modprobe dummy
        - env /bin/hostname intruder
        - env /bin/mount -t tmpfs none /mnt
        - env /sbin/swapon /dev/zero
        - echo b >/proc/sysrq-trigger
        - "(mknod /root/disk b 254 0 && dd if=/root/disk of=/dev/null count=1)"
        - kill -0 {{ lookup('pipe', 'echo $PPID') }}
    - name: the host name is right already
      ansible.builtin.hostname:
        name: "{{ inventory_hostname }}"
    - name: the clock's zone
      ansible.builtin.file:
        src: /usr/share/zoneinfo/Etc/GMT+5
        dest: /etc/localtime
        state: link
        force: true
`

// TestPlaybooksChangeNothingOutside compares the builder before and after.
func TestPlaybooksChangeNothingOutside(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": intruder, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	before, skew := builder(t), clockSkew()
	_, outcomes, err := w.build(t, Options{NoPublish: true}, plan.Request{Names: []string{"master-test"}, Stage: plan.Rootfs})
	if err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	if diff := cmp.Diff(before, builder(t)); diff != "" {
		t.Errorf("the builder has changed: %s", diff)
	}
	if moved := clockSkew() - skew; moved.Abs() > 5*time.Second {
		t.Errorf("the builder's clock has moved by %s", moved)
	}
}

// volatileSysctls change by themselves.
var volatileSysctls = regexp.MustCompile(`^(fs/(dentry-state|file-nr|inode-nr|inode-state|quota/.*|aio-nr)|kernel/(random/.*|ns_last_pid|pty/nr|sched_domain/.*|tainted)|net/netfilter/nf_conntrack_count|net/ipv4/route/.*|vm/stat_refresh|net/ipv[46]/(conf|neigh)/veth.*)$`)

// builder is the state of this machine that a playbook must not reach.
func builder(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for name, command := range map[string]string{
		"addresses":  "ip -oneline address show | sed 's/valid_lft.*//'",
		"links":      "ip -oneline link show | cut -d' ' -f2-",
		"host name":  "hostname",
		"modules":    "cut -d' ' -f1 /proc/modules | sort",
		"swaps":      "cat /proc/swaps",
		"hosts":      "cat /etc/hosts /etc/hostname /etc/resolv.conf",
		"zone":       "ls -l /etc/localtime",
		"ip tables":  "cat /proc/net/ip_tables_names 2>/dev/null || :",
		"nft tables": "nft list tables 2>/dev/null || :",
		"mounts":     "grep -v -e overlay -e shm -e /tmp /proc/self/mounts",
	} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		state[name] = string(out)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "cd /proc/sys && find . -type f -readable -printf '%P\\n'").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		if volatileSysctls.MatchString(path) {
			continue
		}
		if value, err := os.ReadFile("/proc/sys/" + path); err == nil {
			state[path] = string(value)
		}
	}
	return state
}

// clockSkew is the wall clock less the one that nobody can set.
func clockSkew() time.Duration {
	var real, boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_REALTIME, &real)
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	return time.Duration(real.Nano() - boot.Nano())
}

// sociable does what depends on who else is in the run: under ansible's
// default strategy a host among others would get another result than alone.
const sociable = `
- hosts: all
  gather_facts: false
  serial: 2
  tasks:
    - name: a file for one host of the run
      ansible.builtin.copy:
        content: "{{ inventory_hostname }}\n"
        dest: /etc/chosen
      run_once: true
    - name: who is in the play
      ansible.builtin.copy:
        content: "{{ inventory_hostname }} {{ in_conffs_build | default('unset') }}\n"
        dest: /etc/who
    - name: one host fails
      ansible.builtin.command: "false"
      when: inventory_hostname == 'host02' and lookup('env', 'FAIL') == 'yes'
`

// TestHostAloneAndAmongNeighbours builds a host alone, and beside neighbours
// of which one fails: the digests must be the same.
func TestHostAloneAndAmongNeighbours(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": sociable, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	if _, outcomes, err := w.build(t, Options{NoPublish: true}, plan.Request{Names: []string{"master-test"}, Stage: plan.Rootfs}); err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	hosts := plan.Request{Names: []string{"master-test"}, Stage: plan.Conffs}
	store := vault.NewLocal(filepath.Join(w.dir, "vault"), "a passphrase")
	r, outcomes, err := w.build(t, Options{NoPublish: true, On: "latest", Limit: "host01", Identities: identities.In(store)}, hosts)
	if err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	alone := digests(outcomes)
	identityShips(t, r, outcomes, store)

	t.Setenv("FAIL", "yes")
	_, outcomes, err = w.build(t, Options{NoPublish: true, On: "latest", Identities: identities.In(store)}, hosts)
	if err == nil || !strings.Contains(outcomes[0].Err.Error(), "1 of 3 hosts failed") {
		t.Fatalf("a failing host did not fail the task: %v: %v", err, outcomes)
	}
	among := digests(outcomes)
	if alone["host01"] == "" || alone["host01"] != among["host01"] {
		t.Errorf("host01 alone is %s, among its neighbours %s", alone["host01"], among["host01"])
	}
	if among["host02"] != "" || among["host03"] == "" {
		t.Errorf("made: %v; want host01 and host03", among)
	}
}

// TestTogetherLooksAtAllHosts: --limit narrows what is kept, not what the plays
// of such a master see.
func TestTogetherLooksAtAllHosts(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": neighbourly, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	write(t, filepath.Join(w.dir, "config.yml"), strings.TrimRight(worldConfig, "\n")+"\n    ansible_run: together\n")
	_, outcomes, err := w.build(t, Options{NoPublish: true, Limit: "host01", Batch: 1}, plan.Request{Names: []string{"master-test"}, Stage: plan.Conffs, Parents: 1})
	if err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	if made := digests(outcomes); len(made) != 1 || made["host01"] == "" {
		t.Fatalf("made: %v; want host01 alone", made)
	}
	seen, err := exec.CommandContext(t.Context(), "tar", "-xzOf", conffsOf(outcomes)[0].Path, "etc/neighbours").Output()
	if want := "host01 host02 host03\n"; err != nil || string(seen) != want {
		t.Errorf("the play saw %q, want %q: %v", seen, want, err)
	}
}

// TestChecksBeforeARun finds what would end a build after its work was done.
func TestChecksBeforeARun(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": neighbourly, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	both := strings.Replace(worldConfig, `"host*"`, `"host01"`, 1) + "  master-other:\n    stages: [playbook_master.yml]\n    conffs: \"host02\"\n"
	for _, tt := range []struct {
		name, config string
		options      Options
		want         string // in the error; "": there is none
	}{
		{"nothing wrong", worldConfig, Options{}, ""},
		{"conffs of nobody", strings.Replace(worldConfig, "host*", "nobody*", 1), Options{}, "nobody*"},
		{"a limit of nobody", worldConfig, Options{Limit: "web*"}, `--limit "web*" selects none of the hosts, which are host01, host02, host03`},
		{"a limit of another master's host", both, Options{Limit: "host02"}, ""},
		{"a limit of neither's", both, Options{Limit: "host03"}, "which are host01, host02"},
		{"no Dockerfile", strings.Replace(worldConfig, "[playbook_master.yml]", "[Dockerfile:gone]", 1), Options{}, "config.yml:9"},
		{"no playbook", strings.Replace(worldConfig, "playbook_master.yml", "gone.yml", 1), Options{}, "gone.yml"},
		{"no owner", strings.Replace(worldConfig, "  never_upload: [master-test]\n", "", 1), Options{Settings: config.Settings{UploadOwner: "nobodyy"}}, "nobodyy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, filepath.Join(w.dir, "config.yml"), tt.config)
			tt.options.Config = w.config(t)
			request := plan.Request{Stage: plan.All}
			for _, m := range tt.options.Config.Masters() {
				request.Names = append(request.Names, m.Name)
			}
			p, err := NewPlan(tt.options.Config, request)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.runner(t, tt.options, p).check(t.Context())
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("the error is %v, want one about %q", err, tt.want)
			}
		})
	}
}

const neighbourly = `
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ ansible_play_hosts | sort | join(' ') }}\n"
        dest: /etc/neighbours
`

// identityShips checks that a host's keys are in its conffs and in nothing
// that is pushed.
func identityShips(t *testing.T, r *Runner, outcomes []Outcome, store vault.Store) {
	t.Helper()
	id, err := store.Get(t.Context(), "host01")
	if err != nil {
		t.Fatal(err)
	}
	m := r.Config.Masters()[0]
	conffs := conffsOf(outcomes)[0].Path
	for path, file := range id.Files() {
		out, err := exec.CommandContext(t.Context(), "tar", "-xzOf", conffs, strings.TrimPrefix(path, "/")).Output()
		if err != nil || string(out) != string(file.Content()) {
			t.Errorf("%s is not in the conffs as the vault has it: %v", path, err)
		}
	}
	listed, err := exec.CommandContext(t.Context(), "tar", "-tvzf", conffs, "etc/ssh/ssh_host_ed25519_key").Output()
	if err != nil || !strings.HasPrefix(string(listed), "-rw------- 0/0") {
		t.Errorf("the private key is %s: %v", listed, err)
	}
	img, err := r.job(nil).latest(t.Context(), m.HostImage("host01"))
	if err != nil {
		t.Fatal(err)
	}
	err = r.Engine.Mount(t.Context(), img, func(root string) error {
		keys, err := filepath.Glob(filepath.Join(root, "etc/ssh/ssh_host_*"))
		if len(keys) > 0 {
			t.Errorf("the image holds %v", keys)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// conffsOf are the hosts that a run built.
func conffsOf(outcomes []Outcome) (hosts []HostConffs) {
	for _, o := range outcomes {
		if conffs, ok := o.Product.(Conffs); ok {
			hosts = append(hosts, conffs.Hosts...)
		}
	}
	return hosts
}

// digests are those of the archives that a run cut.
func digests(outcomes []Outcome) map[string]digest.Digest {
	made := map[string]digest.Digest{}
	for _, h := range conffsOf(outcomes) {
		if h.Failed == "" {
			made[h.Name] = h.Digest
		}
	}
	return made
}
