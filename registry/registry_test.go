package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParseHostname(t *testing.T) {
	for hostname, want := range map[string][2]string{
		"registry.example.org":                 {"registry.example.org", ""},
		"registry.example.org/":                {"registry.example.org", ""},
		"registry:5000":                        {"registry:5000", ""},
		"registry.example.org:5000/group/name": {"registry.example.org:5000", "group/name"},
		"[::1]:5000/x":                         {"[::1]:5000", "x"},
	} {
		host, project, err := parseHostname(hostname)
		if err != nil || host.RegistryStr() != want[0] || project != want[1] {
			t.Errorf("%q is %q and %q (%v), want %q", hostname, host, project, err, want)
		}
	}
	for _, hostname := range []string{
		"https://registry.example.org", "anna:secret@registry", "registry/Group", "registry/a//b", "/group", "a b", "registry:port:5000",
	} {
		_, _, err := parseHostname(hostname)
		if err == nil || !strings.Contains(err.Error(), "REGISTRY_HOSTNAME") {
			t.Errorf("%q: %v, want an error that names the setting", hostname, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func TestReference(t *testing.T) {
	embedded := open(t, Options{StateDir: t.TempDir()})
	remote := open(t, Options{Hostname: "registry.example.org/group"})
	sum := digest.FromString("").String()
	for got, want := range map[string]string{
		embedded.Reference("web", Latest): "web:latest",
		embedded.Reference("web", sum):    "web@" + sum,
		remote.Reference("web", Latest):   "registry.example.org/group/web:latest",
	} {
		if got != want {
			t.Errorf("reference %q, want %q", got, want)
		}
	}
	for _, name := range []string{"", "Web", "../web", "web/", "web:latest", "web//x", "_web"} {
		if _, err := remote.reference(name, Latest); err == nil {
			t.Errorf("image name %q is accepted", name)
		}
	}
	for _, tag := range []string{"", ".x", "-x", "a/b", "a b", "sha256:0", strings.Repeat("x", 129)} {
		if _, err := remote.reference("web", tag); err == nil {
			t.Errorf("tag %q is accepted", tag)
		}
	}
}

func TestContextEndsRetrying(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	requests := 0
	r := open(t, Options{Attempts: 1000, Backoff: 1 << 60, Hostname: serveRegistry(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			requests++
			cancel()
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	})})
	if _, err := r.Resolve(ctx, "web", Latest); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by its context: %v", err)
	}
	if requests > 2 {
		t.Errorf("%d requests after the end of the context", requests)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(`{}`)
	f.Add(`{"config":{"digest":"sha256:../../x","size":-1}}`)
	f.Add(`{"layers":[null,{}]}`)
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := parseManifest(ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest,
			Digest:    digest.FromString(raw),
			Size:      int64(len(raw)),
		}, []byte(raw))
		if err != nil {
			return
		}
		if !json.Valid([]byte(raw)) {
			t.Errorf("%q is taken for a manifest", raw)
		}
		for _, blob := range m.blobs {
			if blob.Digest.Validate() != nil || blob.Size < 0 || strings.ContainsAny(blob.Digest.Encoded(), "/.") {
				t.Errorf("blob %+v is accepted", blob)
			}
		}
	})
}
