package registry

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// cutWriter breaks the connection after some bytes of the answer.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func TestPullGoesOnWhereItStopped(t *testing.T) {
	store := newStore(t)
	desc, layers := newImage(t, store)
	var (
		mu     sync.Mutex
		ranges []string
	)
	r := open(t, Options{Hostname: serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.Method == http.MethodGet && strings.HasSuffix(request.URL.Path, layers[0].Digest.String()) {
				mu.Lock()
				ranges = append(ranges, request.Header.Get("Range"))
				first := len(ranges) == 1
				mu.Unlock()
				if first {
					w = &cutWriter{w, layerSize / 2}
				}
			}
			next.ServeHTTP(w, request)
		})
	})})
	mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{Latest}})

	to := newStore(t)
	if _, err := r.Pull(t.Context(), "web", Latest, to); err != nil {
		t.Fatal(err)
	}
	if len(ranges) != 2 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("ranges asked for: %q, want all and then the rest", ranges)
	}
	got, err := content.ReadBlob(t.Context(), to, layers[0])
	if err != nil || digest.FromBytes(got) != layers[0].Digest {
		t.Errorf("the layer that came in two parts is wrong (%v)", err)
	}
}

func TestPullRefusesWrongContent(t *testing.T) {
	store := newStore(t)
	desc, layers := newImage(t, store)
	r := open(t, Options{Attempts: 2, Hostname: serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.Method == http.MethodGet && strings.HasSuffix(request.URL.Path, layers[0].Digest.String()) {
				w.Write(bytes.Repeat([]byte("x"), layerSize))
				return
			}
			next.ServeHTTP(w, request)
		})
	})})
	mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{Latest}})

	to := newStore(t)
	_, err := r.Pull(t.Context(), "web", Latest, to)
	if !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), layers[0].Digest.String()) {
		t.Errorf("pulling a damaged layer: %v", err)
	}
	for _, blob := range []digest.Digest{layers[0].Digest, desc.Digest} {
		if _, err := to.Info(t.Context(), blob); !errdefs.IsNotFound(err) {
			t.Errorf("blob %s is in the store (%v)", blob, err)
		}
	}
	if active, err := to.ListStatuses(t.Context()); err != nil || len(active) != 0 {
		t.Errorf("unfinished downloads are left: %v (%v)", active, err)
	}
}

func TestPullPicksTheArchitecture(t *testing.T) {
	address := serveRegistry(t, func(next http.Handler) http.Handler { return next })
	r := open(t, Options{Hostname: address, Architecture: "riscv64"})
	store := newStore(t)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, architecture := range []string{"amd64", "riscv64"} {
		desc, _ := newImage(t, store)
		mustPush(t, r, "debian", desc, store, PushOptions{})
		desc.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		index.Manifests = append(index.Manifests, desc)
	}
	desc := putJSON(t, store, ocispec.MediaTypeImageIndex, index)
	raw, err := content.ReadBlob(t.Context(), store, desc)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := r.reference("debian", "12")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.putManifest(t.Context(), "debian", ref, manifest{desc: desc, raw: raw}); err != nil {
		t.Fatal(err)
	}

	got, err := r.Pull(t.Context(), "debian", "12", newStore(t))
	if err != nil {
		t.Fatal(err)
	}
	if got.Descriptor.Digest != index.Manifests[1].Digest {
		t.Errorf("pulled %s, want %s for riscv64", got.Descriptor.Digest, index.Manifests[1].Digest)
	}
	other := open(t, Options{Hostname: address, Architecture: "s390x"})
	if _, err := other.Pull(t.Context(), "debian", "12", newStore(t)); err == nil || !strings.Contains(err.Error(), "s390x") {
		t.Errorf("pulling for an architecture that is not there: %v", err)
	}
}

func TestRequestsAreRetried(t *testing.T) {
	var (
		mu     sync.Mutex
		failed = map[string]bool{}
	)
	r := open(t, Options{Hostname: serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			path, _, _ := strings.Cut(request.URL.Path, "/uploads/") // each upload has a path of its own
			key := request.Method + " " + path
			mu.Lock()
			first := !failed[key]
			failed[key] = true
			odd := len(failed)%2 == 1
			mu.Unlock()
			switch {
			case first && odd:
				panic(http.ErrAbortHandler) // the connection breaks
			case first:
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				next.ServeHTTP(w, request)
			}
		})
	}), Attempts: 12})
	store := newStore(t)
	desc, _ := newImage(t, store)
	mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{noonTag, Latest}})
	if _, err := r.Pull(t.Context(), "web", Latest, newStore(t)); err != nil {
		t.Error(err)
	}
	if len(failed) < 8 {
		t.Errorf("only %d kinds of requests failed once", len(failed))
	}
}

func TestRefusalsAreNotRetried(t *testing.T) {
	var requests recorder
	for status, want := range map[int]error{
		http.StatusForbidden:      errdefs.ErrPermissionDenied,
		http.StatusUnauthorized:   errdefs.ErrUnauthenticated,
		http.StatusNotFound:       errdefs.ErrNotFound,
		http.StatusNotImplemented: errdefs.ErrUnavailable,
	} {
		r := open(t, Options{Hostname: serveRegistry(t, func(http.Handler) http.Handler {
			return requests.wrap(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
				if request.URL.Path != "/v2/" {
					w.WriteHeader(status)
				}
			}))
		})})
		_, err := r.Resolve(t.Context(), "web", Latest)
		if !errors.Is(err, want) {
			t.Errorf("status %d is %v, want %v", status, err, want)
		}
		if n := count(requests.take(), "GET", "/manifests/"); n != 1 {
			t.Errorf("status %d: asked %d times, want once", status, n)
		}
	}
}

func TestDeadRegistryIsOneClearError(t *testing.T) {
	address := serveRegistry(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	})
	r := open(t, Options{Hostname: address, Attempts: 3})
	err := r.Check(t.Context())
	if !errdefs.IsUnavailable(err) {
		t.Fatalf("a dead registry is %v", err)
	}
	for _, want := range []string{"logging in", fmt.Sprintf("registry %q", address), "tried 3 times", "REGISTRY_HOSTNAME"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has several lines", err)
	}
}
