//go:build integration

package pipeline

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"vauban/pipeline/plan"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/layers"
	"vauban/registry"
)

// tagsHere are those that containerd has for an image.
func (w *world) tagsHere(t *testing.T, image string) (found []string) {
	t.Helper()
	all, err := w.engine.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range all {
		if name, ok := strings.CutPrefix(record.Name, image+":"); ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// another is a small image of one file.
func another(t *testing.T, e *layers.Engine, content string) layers.Image {
	t.Helper()
	var b bytes.Buffer
	out := tar.NewWriter(&b)
	err := errors.Join(out.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}), func() error {
		_, err := out.Write([]byte(content))
		return err
	}(), out.Close())
	if err != nil {
		t.Fatal(err)
	}
	img, err := e.ImportRootfs(t.Context(), &b, ocispec.ImageConfig{}, layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestKeep(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": ""})
	r := w.runner(t, Options{}, &plan.Plan{})
	stamp := func(seconds int) string {
		return registry.Timestamp(r.time.Add(time.Duration(seconds) * time.Second))
	}
	wantLatest := func(t *testing.T, image string, want layers.Image) {
		t.Helper()
		there, err := w.registry.Resolve(t.Context(), image, registry.Latest)
		if err != nil || there.Digest != want.Digest() {
			t.Errorf("latest is %s, %v; want %s", there.Digest, err, want.Digest())
		}
	}
	wantNames := func(t *testing.T, image string, want ...string) {
		t.Helper()
		if got := w.tagsHere(t, image); !slices.Equal(got, want) {
			t.Errorf("%s has the names %q, want %q", image, got, want)
		}
	}
	t.Run("unchanged", func(t *testing.T) {
		later := w.runner(t, Options{}, &plan.Plan{})
		for _, run := range []*Runner{r, later, later} {
			if err := run.job(nil).keep(t.Context(), "same", w.base); err != nil {
				t.Fatal(err)
			}
		}
		wantNames(t, "same", stamp(0), registry.Latest)
	})
	t.Run("unchanged and not pushed", func(t *testing.T) {
		private := w.runner(t, Options{NoPush: true}, &plan.Plan{})
		for _, run := range []*Runner{private, w.runner(t, Options{NoPush: true}, &plan.Plan{})} {
			if err := run.job(nil).keep(t.Context(), "private", w.base); err != nil {
				t.Fatal(err)
			}
		}
		wantNames(t, "private", private.Tag, registry.Latest)
	})
	t.Run("the second is another machine's", func(t *testing.T) {
		theirs := another(t, w.engine, "theirs")
		for seconds, img := range []layers.Image{theirs, another(t, w.engine, "more of theirs")} {
			_, err := w.registry.Push(w.engine.Context(t.Context()), "taken", img.Descriptor, w.engine.Store(),
				registry.PushOptions{Tags: []string{stamp(seconds), registry.Latest}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := r.job(nil).keep(t.Context(), "taken", w.base); err != nil {
			t.Fatal(err)
		}
		wantNames(t, "taken", stamp(2), registry.Latest)
		wantLatest(t, "taken", w.base)
		if there, err := w.registry.Resolve(t.Context(), "taken", stamp(0)); err != nil || there.Digest != theirs.Digest() {
			t.Errorf("a timestamp moved: %v, %v", there.Digest, err)
		}
	})
	t.Run("a newer run was here", func(t *testing.T) {
		newer := another(t, w.engine, "newer")
		_, err := w.registry.Push(w.engine.Context(t.Context()), "overtaken", newer.Descriptor, w.engine.Store(),
			registry.PushOptions{Tags: []string{stamp(300), registry.Latest}})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.job(nil).keep(t.Context(), "overtaken", w.base); err != nil {
			t.Fatal(err)
		}
		wantNames(t, "overtaken", stamp(0))
		wantLatest(t, "overtaken", newer)
		if _, err := w.engine.Image(t.Context(), "overtaken"); !errdefs.IsNotFound(err) {
			t.Errorf("the older image is latest here: %v", err)
		}
	})
}

// Two runs that start in one second have a second each.
func TestRunsTakeTheirOwnSecond(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": ""})
	seen := map[string]bool{}
	for range 3 {
		r := w.runner(t, Options{}, &plan.Plan{})
		if seen[r.Tag] {
			t.Errorf("two runs have the time %s", r.Tag)
		}
		seen[r.Tag] = true
		if info, err := os.Stat(filepath.Join(w.dir, "state/logs", r.Tag)); err != nil || !info.IsDir() {
			t.Errorf("its logs: %v", err)
		}
	}
}
