package registry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"vauban/internal/damage"
)

func TestCheckStorage(t *testing.T) {
	data := func(d digest.Digest) func(string) string {
		return func(root string) string {
			e := embedded{root: root}
			return e.dataPath(d)
		}
	}
	for name, test := range map[string]struct {
		// damaged is the file, below the registry's root, of an image with a
		// layer.
		damaged func(manifest, layer digest.Digest) func(root string) string
		content string // replaces the file's; "-" removes it
		lost    bool   // the image is, after the repair
	}{
		"layer":            {damaged: func(_, layer digest.Digest) func(string) string { return data(layer) }, content: "flipped", lost: true},
		"layer missing":    {damaged: func(_, layer digest.Digest) func(string) string { return data(layer) }, content: "-", lost: true},
		"manifest":         {damaged: func(manifest, _ digest.Digest) func(string) string { return data(manifest) }, content: "{", lost: true},
		"emptied manifest": {damaged: func(manifest, _ digest.Digest) func(string) string { return data(manifest) }, lost: true},
		"emptied tag": {damaged: func(_, _ digest.Digest) func(string) string {
			return func(root string) string {
				return filepath.Join(root, layout, "repositories/web/app/_manifests/tags", Latest, "current/link")
			}
		}, lost: true},
		"emptied link to a layer": {damaged: func(_, layer digest.Digest) func(string) string {
			return func(root string) string {
				return filepath.Join(root, layout, "repositories/web/app/_layers/sha256", layer.Encoded(), "link")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			state, store := t.TempDir(), newStore(t)
			r := open(t, Options{StateDir: state})
			desc, below := newImage(t, store)
			mustPush(t, r, "web/app", desc, store, PushOptions{Tags: []string{noonTag, Latest}})
			other, _ := newImage(t, store)
			mustPush(t, r, "web/other", other, store, PushOptions{Tags: []string{noonTag, Latest}})
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if found, err := CheckStorage(t.Context(), state); err != nil || len(found) > 0 {
				t.Fatalf("in a sound registry %v is found, %v", found, err)
			}
			path := test.damaged(desc.Digest, below[len(below)-1].Digest)(filepath.Join(state, "registry"))
			if _, err := os.Stat(path); err != nil {
				t.Fatal(err)
			}
			err := os.Remove(path)
			if test.content != "-" {
				err = errors.Join(err, os.WriteFile(path, []byte(test.content), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.lost {
				wantClearError(t, state)
			}
			found, err := CheckStorage(t.Context(), state)
			if err != nil || len(found) == 0 {
				t.Fatalf("%v is found, %v", found, err)
			}
			for _, f := range found {
				if err := f.Remove(); err != nil {
					t.Fatal(err)
				}
			}
			if found, err := CheckStorage(t.Context(), state); err != nil || len(found) > 0 {
				t.Errorf("after the repair %v is found, %v", found, err)
			}
			r = open(t, Options{StateDir: state})
			if _, err := r.Resolve(t.Context(), "web/app", Latest); test.lost != errdefs.IsNotFound(err) {
				t.Errorf("the damaged image is lost: %v, want %v", err, test.lost)
			}
			wantTag(t, r, "web/other", Latest, other.Digest)
			mustPush(t, r, "web/app", desc, store, PushOptions{Tags: []string{noonTag, Latest}})
			wantTag(t, r, "web/app", Latest, desc.Digest)
		})
	}
}

// wantClearError pulls the damaged image.
func wantClearError(t *testing.T, state string) {
	t.Helper()
	r := open(t, Options{StateDir: state, Backoff: time.Millisecond})
	defer r.Close()
	_, err := r.Pull(t.Context(), "web/app", Latest, newStore(t))
	if _, ok := errors.AsType[*damage.Error](err); !ok || !strings.Contains(err.Error(), "vauban doctor --state "+state+" --repair") {
		t.Errorf("pulling it: %v", err)
	}
}

func TestCheckStorageEndsWithItsContext(t *testing.T) {
	state, store := t.TempDir(), newStore(t)
	r := open(t, Options{StateDir: state})
	desc, _ := newImage(t, store)
	mustPush(t, r, "web/app", desc, store, PushOptions{Tags: []string{Latest}})
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := CheckStorage(t.Context(), state); err != nil || len(found) > 0 {
		t.Errorf("after a sweep %v is found, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CheckStorage(ctx, state); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
