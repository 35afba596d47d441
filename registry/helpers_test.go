package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const layerSize = 300_000

var (
	noon     = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	noonTag  = Timestamp(noon)
	laterTag = Timestamp(noon.Add(time.Second))
)

// wrapper changes what a test server does.
type wrapper func(http.Handler) http.Handler

// serveRegistry is a registry with real storage that is not the embedded one,
// at a loopback address.
func serveRegistry(t *testing.T, wrap wrapper) (address string) {
	t.Helper()
	server := httptest.NewServer(wrap(newApp(t)))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func newApp(t *testing.T) http.Handler {
	t.Helper()
	ctx := withLogrus(context.Background(), slog.New(slog.DiscardHandler))
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem":  {"rootdirectory": t.TempDir()},
		"delete":      {"enabled": true},
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.Catalog.MaxEntries = 1000
	app := handlers.NewApp(ctx, config)
	t.Cleanup(func() { _ = app.Shutdown() })
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		app.ServeHTTP(w, request.WithContext(withLogrus(request.Context(), slog.New(slog.DiscardHandler))))
	})
}

// recorder keeps the requests that a server got, as "METHOD /path".
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, request.Method+" "+request.URL.Path)
		r.mu.Unlock()
		next.ServeHTTP(w, request)
	})
}

// take returns the requests since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// count is how many of the requests are of a method on a path with a part.
func count(requests []string, method, part string) int {
	n := 0
	for _, request := range requests {
		if strings.HasPrefix(request, method+" ") && strings.Contains(request, part) {
			n++
		}
	}
	return n
}

// open opens a registry with waits that suit a test.
func open(t *testing.T, o Options) *Registry {
	t.Helper()
	if o.Backoff == 0 {
		o.Backoff = time.Microsecond
	}
	if o.CertDirs == nil {
		o.CertDirs = []string{}
	}
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func newStore(t *testing.T) content.Store {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// put stores a blob.
func put(t *testing.T, store content.Store, mediaType string, data []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	err := content.WriteBlob(t.Context(), store, desc.Digest.String(), bytes.NewReader(data), desc)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func putJSON(t *testing.T, store content.Store, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return put(t, store, mediaType, data)
}

func randomLayer(t *testing.T, store content.Store) ocispec.Descriptor {
	t.Helper()
	data := make([]byte, layerSize)
	rand.Read(data)
	return put(t, store, ocispec.MediaTypeImageLayer, data)
}

// newImage stores an image: the layers given and one more of random bytes.
func newImage(t *testing.T, store content.Store, below ...ocispec.Descriptor) (ocispec.Descriptor, []ocispec.Descriptor) {
	t.Helper()
	layers := append(below[:len(below):len(below)], randomLayer(t, store))
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	return putJSON(t, store, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    putJSON(t, store, ocispec.MediaTypeImageConfig, config),
		Layers:    layers,
	}), layers
}

// mustPush pushes an image and tells what it took.
func mustPush(t *testing.T, r *Registry, image string, desc ocispec.Descriptor, from content.Provider, o PushOptions) PushResult {
	t.Helper()
	result, err := r.Push(t.Context(), image, desc, from, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// wantTag checks what a tag names.
func wantTag(t *testing.T, r *Registry, image, tag string, want digest.Digest) {
	t.Helper()
	got, err := r.Resolve(t.Context(), image, tag)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != want {
		t.Errorf("%s:%s names %s, want %s", image, tag, got.Digest, want)
	}
}
