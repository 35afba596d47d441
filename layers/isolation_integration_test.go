//go:build integration

package layers_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"vauban/layers"
)

// attempt works in an ordinary container or not, and under systemd too unless
// it says otherwise.
type attempt struct {
	script       string
	works        bool
	otherSystemd bool
}

// attempts are what playbooks do to machines. Those that work must work on
// the container; those that do not are refused, not carried out elsewhere.
// Words in capitals are replaced, see builderThings. None does much harm
// should it reach the builder after all.
var attempts = []attempt{
	// Firewalls, addresses and routes are the container's own.
	{`iptables -A INPUT -p tcp --dport 9 -j DROP && iptables -S INPUT | grep -q 'dport 9'`, true, false},
	{`iptables -t nat -A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE`, true, false},
	{`nft add table inet canary && nft list tables | grep -q canary`, true, false},
	{`nft delete table inet canary`, true, false},
	{`ip addr add 203.0.113.9/32 dev lo && ip route add blackhole 198.51.100.0/24 && ip rule add from 203.0.113.9 table 77`, true, false},
	{`ip link set eth0 mtu 1280 && ip neigh add 10.0.2.77 lladdr 02:00:00:00:00:77 dev eth0`, true, false},
	{`ip netns add canary`, false, true},

	// Kernel settings: those of /proc/sys are a copy, others are refused.
	{`sysctl -w net.ipv4.ip_forward=1 vm.swappiness=7 kernel.core_pattern=core.canary kernel.panic=77`, true, false},
	{`sysctl -n kernel.core_pattern | grep -qx core.canary`, true, false},
	{`echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet`, true, false},
	{`printf 'vm.dirty_ratio = 21\n' >/etc/sysctl.d/canary.conf && sysctl --system`, true, false},
	{`sysctl -w kernel.hostname=canary kernel.domainname=canary`, true, false},
	{`umount /proc/sys`, false, false},
	{`umount -l /proc/sys/kernel/random/uuid`, false, false},
	{`mount -t proc proc /mnt`, false, false},
	{`mount -o remount,rw /sys`, false, false},
	{`echo >>/run/vauban/program || chmod 777 /run/vauban/program || rm /run/vauban/units || mount -o remount,bind,rw /run/vauban || umount -l /run/vauban`, false, false},
	{`unshare --net mount -t sysfs sysfs /mnt`, false, false},
	{`echo madvise >/sys/kernel/mm/transparent_hugepage/enabled`, false, false},
	{`echo h >/proc/sysrq-trigger`, false, false},
	{`echo 1 >/proc/irq/default_smp_affinity`, false, false},
	{`echo 3 >/proc/sys/vm/drop_caches`, true, false},

	// A user namespace of its own gives capabilities over what is in it.
	{`unshare -Urm sh -c 'umount /proc/sys'`, false, false},
	{`unshare -Urmpf sh -c 'mount -t proc proc /mnt'`, false, false},
	{`unshare -Urmn sh -c 'mount -t sysfs sysfs /mnt && echo madvise >/mnt/kernel/mm/transparent_hugepage/enabled'`, false, false},
	{`unshare -Urm sh -c 'mount -t cgroup -o devices none /mnt && echo a >/mnt/devices.allow'`, false, false},
	{`unshare -Ur date -s '+3 minutes'`, false, false},
	{`unshare -Ur hostname canary`, false, false},

	// The machine's name, clock, modules, swap, power, kernel log.
	{`hostname canary && test "$(hostname)" = canary`, false, true},
	{`date -s '+3 minutes'`, false, false},
	{`python3 -c 'import time; time.clock_settime(time.CLOCK_REALTIME, time.time() + 180)'`, false, false},
	{`modprobe dummy`, false, false},
	{`insmod /tmp/canary.ko`, false, false},
	{`truncate -s 1M /srv/swap && mkswap /srv/swap && swapon /srv/swap`, false, false},
	{`python3 -c 'import ctypes; exit(ctypes.CDLL(None).swapoff(b"/srv/swap"))'`, false, false},
	{`python3 -c 'import ctypes; exit(ctypes.CDLL(None).acct(b"/srv/swap"))'`, false, false},
	{`dmesg -C`, false, false},

	// Mounts and filesystems.
	{`mount -t tmpfs canary /mnt`, false, true},
	{`mount --bind /etc /mnt`, false, true},
	{`mount -o remount,noatime /`, false, false},
	{`unshare --mount true`, false, true},
	{`nsenter --target 1 --mount --net --uts mount -t tmpfs canary /mnt`, false, true},

	// The builder's devices, by their numbers, and its memory.
	{`mknod /srv/disk b DISK && dd if=/srv/disk of=/dev/null count=1`, false, false},
	{`python3 -c 'open("/srv/disk", "r+b")'`, false, false},
	{`mknod /srv/mem c 1 1 && head -c 1 /srv/mem`, false, false},
	{`mknod /srv/kmsg c 1 11 && echo canary >/srv/kmsg`, false, false},
	{`mknod /srv/loop c 10 237 && head -c 1 /srv/loop`, false, false},
	{`mknod /srv/null c 1 3 && echo fine >/srv/null`, true, true},

	// The builder's processes and files.
	{`kill -9 PID`, false, false},
	{`cat FILE`, false, false},
	{`cat /proc/1/rootFILE`, false, false},
	{`mkdir /srv/jail && python3 -c '
import os
os.chroot("/srv/jail")
for _ in range(100): os.chdir("..")
os.chroot(".")
print(open("FILE").read())'`, false, false},
	{`ln -s /proc/1/root/../.. /srv/up && cat /srv/up/FILE`, false, false},
	{`for fd in /proc/*/fd/* /proc/*/cwd /proc/*/root; do cat "$fd/../../../../../..FILE" 2>/dev/null && exit 0; done; exit 1`, false, false},
}

func TestNothingReachesTheBuilder(t *testing.T) {
	_, base := shared.use(t)
	testIsolation(t, target("isolated", base), attempts)
}

// systemdAttempts need the capabilities that root has in a user namespace.
var systemdAttempts = []attempt{
	// What covers the kernel's interfaces stays where it is.
	{script: `umount -l /proc/sys || umount -l /proc/irq || umount -l /sys/firmware || umount -R -l /proc`},
	{script: `mount -o remount,bind,rw /proc/irq || mount -o remount,bind,rw /proc/sysrq-trigger || mount -o remount,bind,rw /sys`},
	{script: `mkdir /srv/p && mount --bind /proc /srv/p`},
	{script: `mount -t proc proc /srv/p && echo 1 >/srv/p/irq/default_smp_affinity`},
	{script: `unshare --mount --pid --fork mount -t proc proc /mnt`},
	{script: `unshare --net --mount mount -t sysfs sysfs /mnt`},
	{script: `mount -t debugfs none /srv/p || mount -t tracefs none /srv/p || mount -t securityfs none /srv/p || mount -t configfs none /srv/p`},
	{script: `mount -t devtmpfs none /srv/p`},
	{script: `mount -t ext4 /dev/vda /srv/p || mount -o loop /etc/hostname /srv/p`},

	// Control groups begin at the container's own.
	{script: `test "$(cat /proc/1/cgroup | sed -n 's/^0:://p')" = /init.scope`, works: true},
	{script: `mkdir /srv/v1 && mount -t cgroup -o devices none /srv/v1 && echo a >/srv/v1/devices.allow`},
	{script: `mount -t cgroup -o memory none /srv/v1 && echo /tmp/agent >/srv/v1/release_agent`},
	{script: `mount -t cgroup -o none,name=canary none /srv/v1`},
	{script: `test -d /sys/fs/cgroup/vauban`},
	{script: `test -e /sys/fs/cgroup/cgroup.type`, works: true}, // the builder's root has none

	// Ways to the builder's files.
	{script: `nsenter --user=/run/vauban/user true`},
	{script: `chattr +i /etc/hostname`},
	{script: `python3 -c '
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 8)]
import os
fd = os.open("/run/vauban/init", os.O_RDONLY)
handle = Handle(8, 1, (ctypes.c_ubyte * 8)(*struct.pack("II", 2, 0)))  # the root directory of ext4
root = libc.open_by_handle_at(fd, ctypes.byref(handle), os.O_RDONLY)
exit(root < 0)'`},
}

func TestNothingReachesTheBuilderUnderSystemd(t *testing.T) {
	_, base := shared.use(t)
	var all []attempt
	for _, a := range attempts {
		all = append(all, attempt{script: a.script, works: a.works != a.otherSystemd})
	}
	testIsolation(t, withSystemd(target("isolated", base)), append(all, systemdAttempts...))
}

func testIsolation(t *testing.T, to layers.Target, attempts []attempt) {
	e, base := shared.use(t)
	victim, things := builderThings(t)
	err := e.Mount(t.Context(), base, func(mounted string) error {
		root := executable(t, mounted)
		before := readBuilder(t, root)
		live(t, e, to, func(c *layers.Container) {
			for _, attempt := range attempts {
				command := things.Replace(attempt.script)
				said, err := sh(t, c, command)
				if (err == nil) != attempt.works {
					t.Errorf("%s\nworks: %v, want %v: %s", command, err == nil, attempt.works, said)
				}
			}
		})
		if diff := cmp.Diff(before, readBuilder(t, root)); diff != "" {
			t.Errorf("the builder changed:\n%s", diff)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process of the builder was killed: %v", err)
	}
}

// builderThings makes a process and a file on the builder and gives the words
// that name them in attempts.
func builderThings(t *testing.T) (*exec.Cmd, *strings.Replacer) {
	t.Helper()
	victim := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		victim.Process.Kill()
		victim.Wait()
	})
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	return victim, strings.NewReplacer("DISK", diskNumber(t), "PID", strconv.Itoa(victim.Process.Pid), "FILE", file)
}

// diskNumber is the major and minor number of the builder's first disk.
func diskNumber(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/partitions")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\s*(\d+)\s+(\d+)\s`).FindSubmatch(data)
	if found == nil {
		return "7 0" // the first loop device
	}
	return string(found[1]) + " " + string(found[2])
}

// builder is what a playbook could change of a machine.
type builder struct {
	HostName, DomainName string
	Sysctls              map[string]string
	Kernel               map[string]string // other files of /proc and /sys
	Mounts               []string
	Network              map[string]string // by the command that shows it
	Clock                clock
}

// clock is how far the wall clock is ahead of the time since boot.
type clock time.Duration

// Equal allows for what keeps the clock right.
func (c clock) Equal(other clock) bool { return time.Duration(c-other).Abs() < time.Minute }

func readBuilder(t *testing.T, root string) builder {
	t.Helper()
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	b := builder{
		HostName:   unix.ByteSliceToString(uts.Nodename[:]),
		DomainName: unix.ByteSliceToString(uts.Domainname[:]),
		Sysctls:    readSysctls(t),
		Kernel:     map[string]string{},
		Mounts:     readMounts(t),
		Network:    map[string]string{},
		Clock:      readClock(t),
	}
	for _, path := range []string{
		"/proc/modules", "/proc/swaps", "/proc/net/ip_tables_names", "/proc/cmdline",
		"/sys/kernel/mm/transparent_hugepage/enabled", "/proc/irq/default_smp_affinity", "/sys/kernel/uevent_helper",
	} {
		data, _ := os.ReadFile(path) // not every kernel has all
		b.Kernel[path] = string(data)
	}
	for _, command := range []string{
		"iptables-save", "ip6tables-save", "nft list ruleset", "ip -d link show", "ip addr show", "ip rule", "ip route show table all", "ip netns",
	} {
		b.Network[command] = builderSays(t, root, command)
	}
	return b
}

// executable shows a mounted root once more, as one whose programs can be run:
// those of images never are where vauban mounts them. The base is our own.
func executable(t *testing.T, mounted string) string {
	t.Helper()
	root := t.TempDir()
	if err := unix.Mount(mounted, root, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		t.Fatal(err)
	}
	return root
}

// builderSays runs a program of the base in the builder's namespaces, as the
// builder need not have it. What counts packets or time is left out.
func builderSays(t *testing.T, root, command string) string {
	t.Helper()
	argv := strings.Fields(command)
	cmd := exec.CommandContext(t.Context(), filepath.Join("/usr/sbin", argv[0]), argv[1:]...)
	if argv[0] == "ip" {
		cmd.Path = "/usr/bin/ip"
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin"}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s on the builder: %v: %s", command, err, said.String())
	}
	return regexp.MustCompile(`(?m)^# .*\n|\[\d+:\d+\]|\d+sec|packets \d+ bytes \d+`).ReplaceAllString(out.String(), "")
}

// volatileSysctls change by themselves.
var volatileSysctls = regexp.MustCompile(`^(fs/(file-nr|inode-nr|inode-state|dentry-state|aio-nr|quota/.*)|` +
	`kernel/(random/.*|ns_last_pid|pty/nr|perf_event_max_sample_rate|sched_domain/.*)|` +
	`net/netfilter/nf_conntrack_count|vm/stat_refresh)$`)

func readSysctls(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS("/proc/sys"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || volatileSysctls.MatchString(path) {
			return err
		}
		data, err := os.ReadFile(filepath.Join("/proc/sys", path))
		if err != nil {
			data = []byte(err.Error())
		}
		all[path] = string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// readMounts gives the builder's mount points, less those of containerd, whose
// mounts come and go, and of other tests.
func readMounts(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for line := range strings.Lines(string(data)) {
		point := strings.Fields(line)[4]
		if !strings.HasPrefix(point, os.TempDir()+"/") && !strings.HasPrefix(point, "/run/vauban/") {
			mounts = append(mounts, line)
		}
	}
	return mounts
}

func readClock(t *testing.T) clock {
	t.Helper()
	var wall, boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &wall); err != nil {
		t.Fatal(err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		t.Fatal(err)
	}
	return clock(wall.Nano() - boot.Nano())
}

// A service on the builder's loopback is for the builder.
func TestTheBuildersLoopbackIsNotReachable(t *testing.T) {
	e, base := shared.use(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connect := fmt.Sprintf(`python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], %d), 3)' `, listener.Addr().(*net.TCPAddr).Port)
	live(t, e, target("loopback", base), func(c *layers.Container) {
		for _, address := range []string{
			"127.0.0.1", "127.1.2.3", "0.0.0.0", "255.255.255.255", "::1", "::ffff:127.0.0.1",
			"10.0.2.2", "10.0.2.3", "10.0.2.100", // slirp4netns: the builder, its resolver, the container
		} {
			if said, err := sh(t, c, connect+address); err == nil {
				t.Errorf("%s leads to the builder's loopback: %s", address, said)
			}
		}
		if said, err := sh(t, c, `sysctl -w net.ipv4.conf.all.route_localnet=1
			iptables -t nat -A OUTPUT -d 203.0.113.1 -j DNAT --to-destination 127.0.0.1
			ip link set lo down
			`+connect+`127.0.0.1 || `+connect+`203.0.113.1`); err == nil {
			t.Errorf("the container's own rules lead to the builder's loopback: %s", said)
		}
	})
}
