package registry

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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
	if err != nil || there.Digest != got.Digest || !IsArtifact(there.Digest, recordType, record) || IsArtifact(there.Digest, recordType, nil) {
		t.Errorf("the tag names %s (%v), want %s", there.Digest, err, got.Digest)
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

// A registry that takes only images, does not know HEAD of manifests, and pages
// lists by two.
func TestArtifactInStrictRegistry(t *testing.T) {
	refused := 0
	r := open(t, Options{Hostname: serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.Method == http.MethodPut && strings.Contains(request.URL.Path, "/manifests/") {
				body, err := io.ReadAll(request.Body)
				if err != nil {
					t.Error(err)
				}
				var m ocispec.Manifest
				if err := json.Unmarshal(body, &m); err != nil || m.Config.MediaType != ocispec.MediaTypeImageConfig {
					refused++
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_INVALID"}]}`)
					return
				}
				request.Body = io.NopCloser(bytes.NewReader(body))
			}
			next.ServeHTTP(w, request)
		})
	})})
	for _, text := range []string{"one", "two", "two"} {
		pushed, err := r.PushArtifact(t.Context(), "web", "record", recordType, []byte(text))
		if err != nil || !IsArtifact(pushed.Digest, recordType, []byte(text)) {
			t.Fatalf("pushed %+v (%v)", pushed, err)
		}
		for _, tag := range []string{"record", pushed.Digest.String()} {
			data, err := r.FetchArtifact(t.Context(), "web", tag, recordType)
			if err != nil || string(data) != text {
				t.Errorf("fetched %q (%v), want %q", data, err, text)
			}
		}
	}
	if refused != 1 {
		t.Errorf("%d manifests were refused, want 1: the registry is known afterwards", refused)
	}
}

// A document of any manifest is the one whose digest that names.
func FuzzDocument(f *testing.F) {
	for _, m := range []ocispec.Manifest{artifact("text/plain", []byte("x")), artifactImage("text/plain", []byte("x")), {}} {
		_, raw, err := encodeManifest(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, "text/plain")
	}
	f.Fuzz(func(t *testing.T, raw []byte, mediaType string) {
		data, err := documentIn(raw, mediaType)
		if err == nil && !strings.Contains(string(raw), digest.FromBytes(data).Encoded()) {
			t.Errorf("%q is in %q", data, raw)
		}
	})
}
