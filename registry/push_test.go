package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestEmbeddedKeepsImagesOverRestart(t *testing.T) {
	dir, store := t.TempDir(), newStore(t)
	desc, _ := newImage(t, store)

	first := open(t, Options{StateDir: dir})
	if !strings.HasPrefix(first.Address(), "127.0.0.1:") {
		t.Errorf("address %q is not on the loopback interface", first.Address())
	}
	mustPush(t, first, "debian-12/iso", desc, store, PushOptions{Tags: []string{Latest, noonTag}})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := open(t, Options{StateDir: dir})
	tags, err := second.Tags(t.Context(), "debian-12/iso")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{noonTag, Latest}, tags); diff != "" {
		t.Errorf("tags after a restart (-want +got):\n%s", diff)
	}
	to := newStore(t)
	pulled, err := second.Pull(t.Context(), "debian-12/iso", Latest, to)
	if err != nil {
		t.Fatal(err)
	}
	if pulled.Descriptor.Digest != desc.Digest || pulled.Fetched != 3 {
		t.Errorf("pulled %+v, want 3 blobs of %s", pulled, desc.Digest)
	}
	for _, blob := range pulled.Content {
		want, err := content.ReadBlob(t.Context(), store, blob)
		if err != nil {
			t.Fatal(err)
		}
		got, err := content.ReadBlob(t.Context(), to, blob)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("blob %s came back changed", blob.Digest)
		}
	}
	again, err := second.Pull(t.Context(), "debian-12/iso", noonTag, to)
	if err != nil || again.Fetched != 0 {
		t.Errorf("second pull fetched %d blobs (%v), want none", again.Fetched, err)
	}
}

func TestPushUploadsOnlyWhatIsMissing(t *testing.T) {
	var requests recorder
	r := open(t, Options{Hostname: serveRegistry(t, requests.wrap) + "/project"})
	store := newStore(t)
	parent, layers := newImage(t, store)

	got := mustPush(t, r, "base", parent, store, PushOptions{Tags: []string{noonTag, Latest}})
	if got.Blobs != 2 || got.Existing != 0 {
		t.Errorf("first push: %+v, want 2 blobs uploaded", got)
	}
	if n := count(requests.take(), "PATCH", "/project/base/"); n != 2 {
		t.Errorf("first push made %d uploads, want 2", n)
	}

	got = mustPush(t, r, "base", parent, store, PushOptions{Tags: []string{laterTag, Latest}})
	if diff := cmp.Diff(PushResult{Digest: parent.Digest, Tags: []string{noonTag, Latest}}, got); diff != "" {
		t.Errorf("push of an unchanged image (-want +got):\n%s", diff)
	}
	for _, request := range requests.take() {
		if !strings.HasPrefix(request, "GET ") && !strings.HasPrefix(request, "HEAD ") {
			t.Errorf("push of an unchanged image made %s", request)
		}
	}

	child, _ := newImage(t, store, layers...)
	got = mustPush(t, r, "base", child, store, PushOptions{Tags: []string{laterTag}})
	if got.Blobs != 2 || got.Existing != 1 {
		t.Errorf("child in the same repository: %+v, want 2 uploaded, 1 existing", got)
	}

	// A fresh client: the first one remembers what it has sent.
	requests.take()
	other := open(t, Options{Hostname: r.Address()})
	got = mustPush(t, other, "child", child, store, PushOptions{MountFrom: []string{"absent", "base"}})
	if got.Blobs != 0 || got.Mounted != 3 {
		t.Errorf("child in another repository: %+v, want all 3 mounted", got)
	}
	if n := count(requests.take(), "PATCH", ""); n != 0 {
		t.Errorf("mounting made %d uploads", n)
	}
}

// TestPushInspectsWhatIsNew pushes to the embedded registry and to another.
func TestPushInspectsWhatIsNew(t *testing.T) {
	for name, options := range map[string]Options{"embedded": {StateDir: t.TempDir()}, "another": {Hostname: serveRegistry(t, new(recorder).wrap)}} {
		r := open(t, options)
		store := newStore(t)
		parent, layers := newImage(t, store)
		var seen []digest.Digest
		var mu sync.Mutex
		inspect := func(refuse digest.Digest) func(context.Context, ocispec.Descriptor) error {
			return func(_ context.Context, blob ocispec.Descriptor) error {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, blob.Digest)
				if blob.Digest == refuse {
					return errors.New("it holds a secret")
				}
				return nil
			}
		}
		_, err := r.Push(t.Context(), "base", parent, store, PushOptions{Tags: []string{Latest}, Inspect: inspect(layers[0].Digest)})
		if err == nil || !strings.Contains(err.Error(), "it holds a secret") {
			t.Errorf("%s: a layer that is refused: %v", name, err)
		}
		if _, err := r.Resolve(t.Context(), "base", Latest); !errdefs.IsNotFound(err) {
			t.Errorf("%s: what was refused is there: %v", name, err)
		}
		if there, err := r.hasBlob(t.Context(), r.host.Repo("base"), layers[0]); there || err != nil {
			t.Errorf("%s: the refused blob is there: %v, %v", name, there, err)
		}
		mustPush(t, r, "base", parent, store, PushOptions{Tags: []string{Latest}, Inspect: inspect("")})
		seen = nil
		child, all := newImage(t, store, layers...)
		mustPush(t, r, "child", child, store, PushOptions{MountFrom: []string{"base"}, Inspect: inspect("")})
		slices.Sort(seen)
		if seen = slices.Compact(seen); len(seen) != 2 || slices.Contains(seen, layers[0].Digest) || !slices.Contains(seen, all[1].Digest) {
			t.Errorf("%s: inspected %v of %v, of which the first was there", name, seen, all)
		}
	}
}

func TestPushSetsTagsLast(t *testing.T) {
	var requests recorder
	r := open(t, Options{Hostname: serveRegistry(t, requests.wrap)})
	store := newStore(t)
	desc, _ := newImage(t, store)
	mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{Latest, "deployed", noonTag}})

	var manifests []string
	lastUpload := 0
	for i, request := range requests.take() {
		switch {
		case strings.HasPrefix(request, "PUT /v2/web/blobs/"):
			lastUpload = i
			if len(manifests) > 0 {
				t.Errorf("blob after manifest: %s", request)
			}
		case strings.HasPrefix(request, "PUT /v2/web/manifests/"):
			manifests = append(manifests, strings.TrimPrefix(request, "PUT /v2/web/manifests/"))
		}
	}
	if lastUpload == 0 {
		t.Error("no blob was uploaded")
	}
	want := []string{desc.Digest.String(), noonTag, "deployed", Latest}
	if diff := cmp.Diff(want, manifests); diff != "" {
		t.Errorf("manifests written (-want +got):\n%s", diff)
	}
}

func TestPushReportsMissingContent(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	desc, _ := newImage(t, newStore(t))
	if _, err := r.Push(t.Context(), "web", desc, newStore(t), PushOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("pushing from an empty store: %v", err)
	}
	if _, err := r.Resolve(t.Context(), "web", Latest); !errdefs.IsNotFound(err) {
		t.Errorf("resolving what is not there: %v", err)
	}
}
