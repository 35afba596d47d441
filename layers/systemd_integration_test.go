//go:build integration

package layers_test

import (
	"strings"
	"testing"

	"vauban/internal/treecmp"
	"vauban/layers"
)

func withSystemd(to layers.Target) layers.Target {
	to.Systemd = true
	return to
}

// What systemd does as a process is no change of the step's: a step that does
// nothing gives the same layer with it and without.
func TestSystemdLeavesNothing(t *testing.T) {
	e, base := shared.use(t)
	for name, s := range map[string]script{
		"nothing": `true`,
		"services": `
			for user in alice bob; do useradd -m $user; done
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
