//go:build integration

package layers_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vauban/internal/treecmp"
	"vauban/layers"
)

func withSystemd(to layers.Target) layers.Target {
	to.Systemd = true
	return to
}

// What systemd does as a process is not a change of the step's: a step that does
// nothing gives the same layer with it and without.
func TestSystemdLeavesNothing(t *testing.T) {
	e, base := shared.use(t)
	for name, s := range map[string]script{
		"nothing": `true`,
		"services": `
			for user in alice bob; do useradd -m $user; done
			python3 -c 'import os; os.rename("/usr/share/base-files", "/usr/share/renamed")'
			cp /etc/passwd /tmp/passwd && chattr "=$(lsattr -d /etc/passwd | cut -d' ' -f1 | tr -d -)" /tmp/passwd
			printf '[Service]\nExecStart=/bin/sleep 1000\nPrivateTmp=yes\nStateDirectory=canary\n' >/etc/systemd/system/canary.service
			printf '[Timer]\nOnCalendar=daily\nPersistent=yes\n[Install]\nWantedBy=timers.target\n' >/etc/systemd/system/canary.timer
			if [ -z "$SYSTEMD_OFFLINE" ]; then
				systemctl daemon-reload
				systemctl start canary.timer canary.service
				systemctl is-active canary.service
				test -e /var/lib/systemd/timers/stamp-canary.timer
				systemctl show canary.service >/dev/null
				logger canary
			fi
			systemctl enable canary.timer
		`,
	} {
		t.Run(name, func(t *testing.T) {
			plain := applyOne(t, e, s, target("same", base))
			booted := applyOne(t, e, s, withSystemd(target("same", base)))
			diffs := compareImages(t, e, plain, booted, treecmp.Options{SkipMtime: func(path string) bool {
				return path == "etc/hostname" || name == "services" && !strings.HasPrefix(path, "var/tmp")
			}})
			diffs = cutPrefixes(diffs, "var/lib/canary:") // what a service keeps is the step's
			if len(diffs) > 0 {
				t.Errorf("with systemd the result differs:\n%s", strings.Join(diffs, "\n"))
			}
		})
	}
}

func cutPrefixes(lines []string, prefixes ...string) (rest []string) {
	for _, line := range lines {
		cut := false
		for _, prefix := range prefixes {
			cut = cut || strings.HasPrefix(line, prefix)
		}
		if !cut {
			rest = append(rest, line)
		}
	}
	return rest
}

func compareImages(t *testing.T, e *layers.Engine, a, b layers.Image, o treecmp.Options) (diffs []string) {
	t.Helper()
	err := e.Mount(t.Context(), a, func(left string) error {
		return e.Mount(t.Context(), b, func(right string) error {
			diffs = treecmp.Compare(left, right, o)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return diffs
}

func TestSystemdMustBeInTheImage(t *testing.T) {
	e, base := shared.use(t)
	img := applyOne(t, e, script(`rm /lib/systemd/systemd`), target("bare", base))
	_, err := e.Apply(t.Context(), script(`true`), change, withSystemd(target("bare", img)))
	if err == nil || !strings.Contains(err.Error(), "systemd-sysv") {
		t.Errorf("the error is %v", err)
	}
}

func TestSystemdAndTheBuildersNetwork(t *testing.T) {
	e, base := shared.use(t)
	to := withSystemd(target("shared", base))
	to.HostNetwork = true
	if _, err := e.Apply(t.Context(), script(`true`), change, to); err == nil || !strings.Contains(err.Error(), "network: host") {
		t.Errorf("the error is %v", err)
	}
}

// A machine that does not come up says what it waits for.
func TestSystemdThatHangs(t *testing.T) {
	e, base := shared.use(t)
	img := applyOne(t, e, script(`
		printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo canary is waiting; exec sleep 8642"\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/canary.service
		systemctl enable canary.service`), target("hangs", base))
	ctx, late := context.WithCancelCause(t.Context())
	defer late(nil)
	go func() {
		for ctx.Err() == nil && !runsOnTheBuilder("sleep\x008642") {
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(2 * time.Second) // journald takes what was printed when it comes to it
		late(context.DeadlineExceeded)
	}()
	_, err := e.Apply(ctx, script(`true`), change, withSystemd(target("hangs", img)))
	if err == nil || !strings.Contains(err.Error(), "canary.service") || !strings.Contains(err.Error(), "canary is waiting") {
		t.Errorf("the error is %v", err)
	}
	if runsOnTheBuilder("sleep\x008642") {
		t.Error("the container still runs")
	}
}

func runsOnTheBuilder(cmdline string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.TrimRight(string(data), "\x00") == cmdline {
			return true
		}
	}
	return false
}

// NetworkManager keeps the profiles that tasks ask it for, and leaves the network
// alone; its key is one machine's.
func TestSystemdAndNetworkManager(t *testing.T) {
	e, base := shared.use(t)
	to := target("managed", base)
	to.AptLists = true
	img := applyOne(t, e, script(`apt-get install -qy --no-install-recommends network-manager dbus`), to)
	img = applyOne(t, e, script(`. `+layers.Profile+`
		network() { cat /etc/resolv.conf; ip -4 address show eth0; ip route; }
		before=$(network)
		systemctl is-active NetworkManager || exit
		nmcli connection add con-name lan ifname eth1 type ethernet ipv4.method manual ipv4.addresses 192.0.2.7/24 &&
			nmcli -w 5 connection up lan && nmcli connection reload && nmcli -g connection.id connection show lan || exit
		nmcli -g GENERAL.STATE device show eth0 | grep unmanaged || exit
		test "$before" = "$(network)"
	`), withSystemd(target("managed", img)))
	got := read(t, e, img, "etc/NetworkManager/system-connections/lan.nmconnection", "var/lib/NetworkManager/secret_key")
	for path, content := range got {
		if kept := strings.Contains(content, "192.0.2.7/24"); kept == strings.HasSuffix(path, "secret_key") || !kept && content != "missing" {
			t.Errorf("%s holds %q", path, content)
		}
	}
}

// A unit that fails is told and is not a failure of the step; what the step left
// running is ended, and no control group stays behind.
func TestSystemdFailedUnitsAndRemains(t *testing.T) {
	e, base := shared.use(t)
	applyOne(t, e, script(`
		printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' >/etc/systemd/system/canary.service
		systemctl daemon-reload
		! systemctl start canary.service
		systemctl is-failed canary.service
		cp /etc/systemd/system/canary.service /etc/systemd/system/auditd.service
		systemctl restart auditd.service # the kernel's log of audits is the builder's
		setsid sleep 7531 >/dev/null 2>&1 &
		systemd-run --quiet sleep 7532`), withSystemd(target("fails", base)))
	for _, left := range []string{"sleep\x007531", "sleep\x007532", "/usr/bin/sleep\x007532"} {
		if runsOnTheBuilder(left) {
			t.Errorf("%q still runs", left)
		}
	}
	for _, hierarchy := range []string{"", "*/"} {
		left, err := filepath.Glob("/sys/fs/cgroup/" + hierarchy + "vauban/" + filepath.Base(e.Dir()) + "-*")
		if err != nil || len(left) > 0 {
			t.Errorf("control groups are left: %v, %v", left, err)
		}
	}
}

// Twenty machines have more inotify instances than one user of the builder
// may: each has its own allowance.
func TestSystemdHasItsOwnInotifyInstances(t *testing.T) {
	e, base := shared.use(t)
	limit, err := strconv.Atoi(strings.TrimSpace(readFile(t, "/proc/sys/fs/inotify/max_user_instances")))
	if err != nil {
		t.Fatal(err)
	}
	take := fmt.Sprintf(`cat >/srv/take.py <<'END'
import ctypes, time
taken = 0
while taken < %d and ctypes.CDLL(None).inotify_init() >= 0:
    taken += 1
print(taken, flush=True)
time.sleep(1000)
END
systemd-run --quiet --property=StandardOutput=file:/srv/taken python3 /srv/take.py
while ! grep . /srv/taken; do sleep 0.1; done
`, limit*3/4)
	live(t, e, withSystemd(target("one", base)), func(one *layers.Container) {
		live(t, e, withSystemd(target("two", base)), func(two *layers.Container) {
			for _, c := range []*layers.Container{one, two} {
				if got := mustSh(t, c, take); strings.TrimSpace(got) != strconv.Itoa(limit*3/4) {
					t.Errorf("%s has %s inotify instances, want %d", c.Name(), got, limit*3/4)
				}
			}
		})
	})
}

// What ends the service that a run is in ends all that is in its control
// group: containerd and the shims of containers are in another.
func TestContainerdIsInNoRunsCgroup(t *testing.T) {
	e, base := shared.use(t)
	live(t, e, target("any", base), func(*layers.Container) {
		kinds := map[string]bool{}
		for _, hierarchy := range []string{"", "unified/"} {
			pids, _ := os.ReadFile("/sys/fs/cgroup/" + hierarchy + "vauban/daemon/cgroup.procs")
			for pid := range strings.FieldsSeq(string(pids)) {
				cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline")
				kinds["containerd"] = kinds["containerd"] || strings.Contains(string(cmdline), "__containerd\x00"+filepath.Dir(filepath.Dir(e.Dir())))
				kinds["shim"] = kinds["shim"] || strings.Contains(string(cmdline), "\x00-id\x00"+filepath.Base(e.Dir()))
			}
		}
		if !kinds["containerd"] || !kinds["shim"] {
			t.Errorf("in the control group are %v", kinds)
		}
	})
}
