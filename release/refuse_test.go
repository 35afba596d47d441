package release

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPublishRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Release)
		want   string
	}{
		"master that leaves the tree":  {func(r *Release) { r.Master = "../web" }, `each part of its name`},
		"master called as the pool":    {func(r *Release) { r.Master = "linux" }, `uses "linux" itself`},
		"master in a release":          {func(r *Release) { r.Master = "web/current" }, `uses "current" itself`},
		"master called as a conffs":    {func(r *Release) { r.Master = "web/conffs-a.tgz" }, `uses "conffs-a.tgz" itself`},
		"timestamp":                    {func(r *Release) { r.Timestamp = "2026-02-30T000000Z" }, "not a timestamp"},
		"kernel version":               {func(r *Release) { r.Kernel.Version = "../6.1" }, "cannot name a file"},
		"host that leaves the release": {func(r *Release) { r.Conffs["../../x"] = r.Conffs["web01"] }, "cannot name a file"},
		"host with a line break":       {func(r *Release) { r.Conffs["a\nb"] = r.Conffs["web01"] }, "cannot name a file"},
		"missing file":                 {func(r *Release) { r.Rootfs.Path += "x" }, "no such file"},
		"directory as a file":          {func(r *Release) { r.Rootfs.Path = filepath.Dir(r.Rootfs.Path) }, "not a regular file"},
		"kernel without modules":       {func(r *Release) { r.Rootfs.Kernels = []string{"6.1.0-22"} }, "--stage initramfs"},
		"conffs of another image": {func(r *Release) {
			c := r.Conffs["web01"]
			c.Master = image("other")
			r.Conffs["web01"] = c
		}, `the conffs of "web01" were cut on`},
		"nothing before, no rootfs": {func(r *Release) { r.Rootfs = nil }, "--stage all"},
		"nothing before, no kernel": {func(r *Release) { r.Kernel = nil }, "--stage all"},
		"owner":                     {func(r *Release) {}, "no such user"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := built(t, first, "one", "web01")
			test.change(&r)
			var o TreeOptions
			if name == "owner" {
				o.Owner = "nobody-of-that-name"
			}
			_, err := Publish(t.Context(), dir, r, o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			if got, err := os.ReadDir(filepath.Join(dir, master)); err == nil {
				t.Errorf("the refused release left %v", got)
			}
		})
	}
}

func TestPublishNeverMixesImages(t *testing.T) {
	dir := t.TempDir()
	one := mustPublish(t, dir, built(t, first, "one", "web01", "web02"))
	for name, r := range map[string]Release{
		"rootfs alone":     {Master: master, Timestamp: second, Rootfs: built(t, second, "two").Rootfs},
		"conffs alone":     {Master: master, Timestamp: second, Conffs: built(t, second, "two", "web01").Conffs},
		"one host lacking": built(t, second, "two", "web01"),
	} {
		if _, err := Publish(t.Context(), dir, r, TreeOptions{}); !errors.Is(err, ErrMixed) {
			t.Errorf("%s: %v, want ErrMixed", name, err)
		}
	}
	if got, err := Current(dir, master); err != nil || got.Timestamp != one.Timestamp {
		t.Errorf("served is %v, %v; want %s", got, err, one.Timestamp)
	}
}

func TestPublishKeepsForeignFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, master), 0o755); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, master, "rootfs.tgz")
	if err := os.WriteFile(old, []byte("of another program"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Publish(t.Context(), dir, built(t, first, "one"), TreeOptions{})
	if err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("error %v, want one that says to move it away", err)
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "of another program" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

func TestPublishDamagedPool(t *testing.T) {
	dir := t.TempDir()
	p := mustPublish(t, dir, built(t, first, "one"))
	damage(t, filepath.Join(dir, "linux", pooled("vmlinuz", version, p.Kernel.Vmlinuz)))
	if _, err := Publish(t.Context(), dir, built(t, second, "one"), TreeOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged: files of the pool are never rewritten", err)
	}
}

func TestPublishDamagedManifest(t *testing.T) {
	dir := t.TempDir()
	p := mustPublish(t, dir, built(t, first, "one", "web01"))
	damage(t, filepath.Join(p.Dir, "manifest.json"))
	next := built(t, second, "one", "web01")
	if _, err := Publish(t.Context(), dir, next, TreeOptions{}); err == nil || !strings.Contains(err.Error(), "all conffs together") {
		t.Errorf("error %v, want one that says what to publish", err)
	}
	next.Hosts = []string{"web01"}
	if err := mustPublish(t, dir, next).Verify(); err != nil {
		t.Error(err)
	}
}
