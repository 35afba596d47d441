//go:build integration

package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"vauban/layers"
	"vauban/pipeline/prune"
	"vauban/registry"
	"vauban/release"
)

// TestPrune has a master with four releases, the second served, and builds
// that published nothing.
func TestPrune(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": ""})
	state, pxe := filepath.Join(w.dir, "state"), filepath.Join(w.dir, "pxe")
	began := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	stamp := func(n int) string { return registry.Timestamp(began.Add(time.Duration(n) * time.Minute)) }
	var images []layers.Image
	maker, err := layers.Open(t.Context(), layers.Options{StateDir: state, Embedded: true, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		img := another(t, maker, fmt.Sprint(n))
		images = append(images, img)
		if _, err := w.registry.Push(maker.Context(t.Context()), "master-test", img.Descriptor, maker.Store(),
			registry.PushOptions{Tags: []string{stamp(n), registry.Latest}}); err != nil {
			t.Fatal(err)
		}
		for _, tag := range []string{stamp(n), registry.Latest} {
			if err := w.engine.SetImage(t.Context(), "master-test:"+tag, img); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(state, "logs", stamp(n), "log"), "")
		if n < 4 {
			publish(t, pxe, stamp(n), img)
		}
	}
	if err := maker.Close(); err != nil { // a run keeps what it made
		t.Fatal(err)
	}
	if _, err := release.Rollback(t.Context(), pxe, "master-test", stamp(1), release.TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	pulled := "master-test@" + images[0].Digest().String()
	if err := w.engine.SetImage(t.Context(), pulled, images[0]); err != nil {
		t.Fatal(err)
	}
	for _, cache := range []string{"kernels/used", "kernels/unused", "galaxy/unused", "cache/.locks"} {
		path := filepath.Join(state, cache)
		write(t, filepath.Join(path, "file"), "")
		if cache != "kernels/used" {
			if err := os.Chtimes(path, began, began); err != nil {
				t.Fatal(err)
			}
		}
	}
	var removed []string
	o := prune.PruneOptions{
		Engine: w.engine, Registry: w.registry, StateDir: state, UploadDir: pxe, Masters: []string{"master-test", "never-built"},
		Keep: 2, Logs: 4, Unused: 24 * time.Hour, Removed: func(kind, name string) { removed = append(removed, kind+" "+name) },
	}
	prune := func(t *testing.T) ([]string, prune.Pruned) {
		t.Helper()
		removed = nil
		pruned, err := prune.Prune(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(removed)
		return slices.DeleteFunc(removed, func(line string) bool { return strings.HasPrefix(line, "kernel ") }), pruned
	}
	// Of the releases stay 2 and 3, and 1, which is served; of the images
	// besides theirs the newest two.
	want := []string{
		"cache galaxy/unused", "cache kernels/unused", "image master-test:" + stamp(0), "image " + pulled,
		"log logs/" + stamp(0), "log logs/" + stamp(1), "log logs/" + stamp(2),
		"release master-test/" + stamp(0), "tag master-test:" + stamp(0),
	}

	t.Run("dry", func(t *testing.T) {
		o.DryRun = true
		defer func() { o.DryRun = false }()
		got, _ := prune(t)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("a dry run (-want +got):\n%s", diff)
		}
		if _, err := w.registry.Resolve(t.Context(), "master-test", stamp(0)); err != nil {
			t.Error(err)
		}
	})
	t.Run("while a run is at work", func(t *testing.T) {
		other, err := layers.Open(t.Context(), layers.Options{StateDir: state, Embedded: true, Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		got, pruned := prune(t)
		if !pruned.Busy || !slices.Equal(got, []string{"release master-test/" + stamp(0)}) {
			t.Errorf("busy %v, removed %q; want the old release alone", pruned.Busy, got)
		}
	})
	t.Run("all", func(t *testing.T) {
		got, pruned := prune(t)
		if diff := cmp.Diff(slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.HasPrefix(line, "release") }), got); diff != "" {
			t.Errorf("removed (-want +got):\n%s", diff)
		}
		if pruned.Freed <= 0 {
			t.Errorf("freed %d bytes", pruned.Freed)
		}
		if _, err := w.registry.Resolve(t.Context(), "master-test", stamp(0)); !errdefs.IsNotFound(err) {
			t.Errorf("the old tag: %v", err)
		}
		w.hasContent(t, images[0], false)
		for _, img := range images[1:] {
			w.hasContent(t, img, true)
			if _, err := w.registry.Resolve(t.Context(), "master-test", img.Digest().String()); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("again", func(t *testing.T) {
		if got, _ := prune(t); len(got) > 0 {
			t.Errorf("removed %q, want nothing", got)
		}
	})
}

// hasContent looks for an image's layers in containerd and in the registry.
func (w *world) hasContent(t *testing.T, img layers.Image, want bool) {
	t.Helper()
	blob := img.Manifest.Layers[0].Digest
	if _, err := w.engine.Store().Info(w.engine.Context(t.Context()), blob); (err == nil) != want {
		t.Errorf("containerd has %s: %v, want %v", blob, err, want)
	}
	path := filepath.Join(w.dir, "state/registry/docker/registry/v2/blobs/sha256", blob.Encoded()[:2], blob.Encoded(), "data")
	if _, err := os.Stat(path); (err == nil) != want {
		t.Errorf("the registry has %s: %v, want %v", blob, err, want)
	}
}

// publish makes a release of an image whose files are small.
func publish(t *testing.T, pxe, timestamp string, img layers.Image) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"k", "i", "r"} {
		write(t, filepath.Join(dir, name), name+timestamp)
	}
	_, err := release.Publish(t.Context(), pxe, release.Release{
		Master: "master-test", Timestamp: timestamp, Hosts: []string{},
		Kernel: &release.BuiltKernel{Version: "6.1.0", Vmlinuz: filepath.Join(dir, "k"), Initramfs: filepath.Join(dir, "i")},
		Rootfs: &release.BuiltRootfs{Path: filepath.Join(dir, "r"), Image: img.Digest(), Kernels: []string{"6.1.0"}},
	}, release.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
