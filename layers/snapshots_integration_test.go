//go:build integration

package layers_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/layers"
)

// TestPack gives up snapshots of images that are used again afterwards, of one
// that another image is based on, and of one that another run uses.
func TestPack(t *testing.T) {
	e, base := shared.use(t)
	first := applyOne(t, e, "echo >/srv/pack-1", target("web", base))
	second := applyOne(t, e, "echo >/srv/pack-2", target("web", first))
	if err := e.SetImage(t.Context(), "pack/web", second); err != nil {
		t.Fatal(err)
	}
	pack := func(images ...layers.Image) {
		t.Helper()
		if err := errors.Join(e.Pack(t.Context(), base, images...), e.Collect(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	onDisk := func(want ...string) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(shared.dir, "containerd", "io.containerd.snapshotter.v1.overlayfs", "snapshots", "*", "fs", "srv", "pack-*"))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, path := range found {
			got = append(got, filepath.Base(path))
		}
		slices.Sort(got)
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			t.Errorf("unpacked are (-want +got):\n%s", diff)
		}
	}
	holds := func(e *layers.Engine, img layers.Image, want ...string) {
		t.Helper()
		for path, text := range read(t, e, img, want...) {
			if text != "\n" {
				t.Errorf("%s: %q", path, text)
			}
		}
	}

	onDisk("pack-1", "pack-2")
	pack(base, first, second)
	onDisk()

	// From its blobs it is what it was: to build on, and to look at.
	third := applyOne(t, e, "echo >/srv/pack-3", target("web", second))
	holds(e, third, "srv/pack-1", "srv/pack-2", "srv/pack-3")
	onDisk("pack-1", "pack-2", "pack-3")
	pack(first, second)
	onDisk("pack-1", "pack-2", "pack-3") // the third stands on them
	pack(third)
	onDisk()
	holds(e, second, "srv/pack-1", "srv/pack-2")

	// What another run uses stays there for it, and goes when it ends.
	other, err := openEngine(shared.dir)
	if err != nil {
		t.Fatal(err)
	}
	holds(other, second, "srv/pack-1", "srv/pack-2")
	pack(first, second)
	onDisk("pack-1", "pack-2")
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	onDisk()
	if _, err := e.Image(t.Context(), "pack/web"); err != nil {
		t.Error(err)
	}
}
