//go:build integration

package main

import (
	"os"
	"strings"
	"testing"
)

const damageConfig = `
suite:
  file: base.tar
  name: base/iso
  web:
    stages: ["Dockerfile:web"]
`

// TestDamage damages a state directory: a build says so in one error, or does
// without what is damaged; doctor finds it; what is repaired builds again.
func TestDamage(t *testing.T) {
	s := newSite(t, map[string]string{"config.yml": damageConfig, "playbooks/none": "", "web": "FROM base\nRUN echo web >/srv/web\n"})
	const (
		build    = "vauban build web --build-parents yes"
		database = "state/containerd/io.containerd.metadata.v1.bolt/meta.db"
		blob     = "$(ls -S state/containerd/io.containerd.content.v1.content/blobs/sha256/* | head -n 1)"
	)
	s.sh(t, build)
	for _, c := range []struct {
		name, damage string
		stops        bool // no build goes on
	}{
		{"a database without its end", "truncate --size 100000 " + database, true},
		{"a flipped byte of a layer, and half a kernel",
			"printf x | dd of=" + blob + " bs=1 seek=1000 conv=notrunc status=none; truncate --size 1 state/kernels/*/vmlinuz", false},
	} {
		if out := s.sh(t, "vauban doctor --state state"); !strings.Contains(out, "ok       everything kept in") {
			t.Fatalf("before %s: %s", c.name, out)
		}
		s.sh(t, c.damage)
		if c.stops {
			_, said, err := s.try(t, build)
			if err == nil || !strings.Contains(said, "doctor --state") || strings.Contains(said, "goroutine") {
				t.Errorf("%s: a build ends with %v: %s", c.name, err, said)
			}
		}
		out, said, err := s.try(t, "vauban doctor --state state")
		if err == nil || !strings.Contains(out, "DAMAGED  ") || !strings.Contains(said, "damaged") {
			t.Errorf("%s: doctor: %v: %s %s", c.name, err, out, said)
		}
		if out := s.sh(t, "vauban doctor --state state --repair --output json"); !strings.Contains(out, `"repaired"`) {
			t.Errorf("%s: doctor --repair: %s", c.name, out)
		}
		s.sh(t, build)
	}
	if kernel, err := os.ReadFile(s.path("pxe/web/vmlinuz")); string(kernel) != "kernel\n" || err != nil {
		t.Errorf("the published kernel is %q: %v", kernel, err)
	}
}
