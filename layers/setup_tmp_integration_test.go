//go:build integration

package layers_test

import (
	"strings"
	"testing"

	"vauban/internal/testenv"
	"vauban/layers"
)

// /tmp is a directory as on a machine: nothing is mounted there, files can be
// renamed from it, and none of it is in a layer.
func TestTmp(t *testing.T) {
	e, base := shared.use(t)
	for name, systemd := range map[string]bool{"default": false, "systemd": true} {
		t.Run(name, func(t *testing.T) {
			to := target("tmp", base)
			to.Systemd = systemd
			first := applyOne(t, e, `set -e
				! grep ' /tmp ' /proc/mounts
				test "$(stat -c %a:%u:%g /tmp)" = 1777:0:0
				cp /etc/passwd /tmp/passwd
				chattr "=$(lsattr -d /etc/passwd | cut -d' ' -f1 | tr -d -)" /tmp/passwd
				mkdir -p /tmp/folder/.hidden && echo canary >/tmp/.hidden
				python3 -c 'import os, socket; os.rename("/tmp/passwd", "/etc/passwd"); socket.socket(socket.AF_UNIX).bind("/tmp/socket")'`, to)
			for path := range testenv.TopLayer(t, e, first) {
				if strings.HasPrefix(path, "/tmp") {
					t.Errorf("the layer holds %s", path)
				}
			}
			to.Parent = first
			if held := testenv.TopLayer(t, e, applyOne(t, e, `rm -rf /tmp/* /tmp/.[!.]*; touch /tmp/x`, to)); len(held) > 0 {
				t.Errorf("the layer of who only cleaned up holds %v", held)
			}
		})
	}
}

// An image without /tmp stays without.
func TestNoTmp(t *testing.T) {
	e, base := shared.use(t)
	without := applyOne(t, e, `rm -rf /tmp`, target("notmp", base))
	again := target("notmp", without)
	live(t, e, again, func(c *layers.Container) { mustSh(t, c, `test "$(stat -c %a /tmp)" = 1777 && echo x >/tmp/x`) })
	if held := testenv.TopLayer(t, e, applyOne(t, e, `echo x >/tmp/x`, again)); len(held) > 0 {
		t.Errorf("the layer holds %v", held)
	}
}

// What hardening looks at is as a machine's: options that a machine's /dev/shm
// lacks are missing here too.
func TestShmIsAMachines(t *testing.T) {
	e, base := shared.use(t)
	live(t, e, target("shm", base), func(c *layers.Container) {
		line := strings.TrimSuffix(mustSh(t, c, `grep ' /dev/shm ' /proc/mounts`), ",inode64 0 0") // as the kernel was built
		if line = strings.TrimSuffix(line, " 0 0"); line != "tmpfs /dev/shm tmpfs rw,nosuid,nodev" {
			t.Errorf("/dev/shm is mounted as %q", line)
		}
	})
}
