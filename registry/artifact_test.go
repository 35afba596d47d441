package registry

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

const recordType = "application/vnd.vauban.test.v1+json"

func TestArtifact(t *testing.T) {
	var requests recorder
	r := open(t, Options{Hostname: serveRegistry(t, requests.wrap)})
	record := []byte(`{"commit": "0123"}`)

	if _, err := r.FetchArtifact(t.Context(), "web", "record", recordType); !errdefs.IsNotFound(err) {
		t.Errorf("fetching what is not there: %v", err)
	}
	got, err := r.PushArtifact(t.Context(), "web", "record", recordType, record)
	if err != nil || got.Blobs != 2 {
		t.Errorf("pushed %+v (%v), want 2 blobs", got, err)
	}
	there, err := r.Resolve(t.Context(), "web", "record")
	if want, err2 := ArtifactDigest(recordType, record); err != nil || err2 != nil || there.Digest != want {
		t.Errorf("the tag names %s (%v), want %s (%v)", there.Digest, err, want, err2)
	}
	requests.take()
	if got, err := r.PushArtifact(t.Context(), "web", "record", recordType, record); err != nil || got.Blobs != 0 {
		t.Errorf("pushed again: %+v (%v), want nothing uploaded", got, err)
	}
	if seen := requests.take(); len(seen) != 1 {
		t.Errorf("pushing what is there makes %q, want one request", seen)
	}
	data, err := r.FetchArtifact(t.Context(), "web", "record", recordType)
	if err != nil || string(data) != string(record) {
		t.Errorf("fetched %q (%v), want %q", data, err, record)
	}
	if seen := requests.take(); len(seen) != 1 {
		t.Errorf("fetching makes %q, want one request", seen)
	}
	if _, err := r.FetchArtifact(t.Context(), "web", "record", "text/plain"); !errdefs.IsNotFound(err) {
		t.Errorf("fetching as another type: %v", err)
	}
	if _, err := r.PushArtifact(t.Context(), "web", "record", recordType, []byte("another")); err != nil {
		t.Fatal(err)
	}
	if data, err := r.FetchArtifact(t.Context(), "web", "record", recordType); err != nil || string(data) != "another" {
		t.Errorf("fetched %q (%v) after a change", data, err)
	}
	for _, size := range []int{0, maxArtifact + 1} {
		if _, err := r.PushArtifact(t.Context(), "web", "record", recordType, []byte(strings.Repeat("x", size))); err == nil {
			t.Errorf("an artifact of %d bytes is accepted", size)
		}
	}
	largest := strings.Repeat("x", maxArtifact)
	if _, err := r.PushArtifact(t.Context(), "web", "record", recordType, []byte(largest)); err != nil {
		t.Errorf("the largest artifact: %v", err)
	}
}
