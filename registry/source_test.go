package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	memory "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParseSource(t *testing.T) {
	const sum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for text, want := range map[string]Source{
		"debian":                                  {"docker.io", "library/debian", "latest"},
		"debian:12-slim":                          {"docker.io", "library/debian", "12-slim"},
		"team/debian:12":                          {"docker.io", "team/debian", "12"},
		"localhost:5000/debian":                   {"localhost:5000", "debian", "latest"},
		"registry.example.com/a/b:1@" + sum:       {"registry.example.com", "a/b", sum},
		"registry.example.com:8443/debian@" + sum: {"registry.example.com:8443", "debian", sum},
	} {
		got, err := ParseSource(text)
		if err != nil || got != want {
			t.Errorf("%s is %v, %v, want %v", text, got, err, want)
		}
		if got.IsDigest() != strings.Contains(text, "@") {
			t.Errorf("%s: IsDigest is %v", text, got.IsDigest())
		}
		if again, err := ParseSource(got.String()); err != nil || again != got {
			t.Errorf("%s becomes %s, which is %v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "Debian", "a b", "debian:", "debian@sha256:00", "-debian", "https://registry.example.com/debian"} {
		if got, err := ParseSource(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

// elsewhere is a registry that takes anything, with what tools push.
type elsewhere struct {
	*httptest.Server
	t    *testing.T
	seen recorder
}

func newElsewhere(t *testing.T) *elsewhere {
	e := &elsewhere{t: t}
	e.Server = httptest.NewServer(e.seen.wrap(memory.New(memory.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(e.Close)
	return e
}

func (e *elsewhere) put(path, mediaType string, data []byte) {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), http.MethodPut, e.URL+path, bytes.NewReader(data))
	if err != nil {
		e.t.Fatal(err)
	}
	request.Header.Set("Content-Type", mediaType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		e.t.Fatalf("putting %s: %s", path, response.Status)
	}
}

func (e *elsewhere) json(value any) []byte {
	e.t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		e.t.Fatal(err)
	}
	return data
}

func (e *elsewhere) blob(mediaType string, data []byte) ocispec.Descriptor {
	e.t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	response, err := http.Post(e.URL+"/v2/debian/blobs/uploads/?digest="+desc.Digest.String(), "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		e.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		e.t.Fatalf("putting a blob: %s", response.Status)
	}
	return desc
}

// manifest puts a manifest under its digest and under tags.
func (e *elsewhere) manifest(mediaType string, data []byte, tags ...string) ocispec.Descriptor {
	e.t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	for _, tag := range append(tags, desc.Digest.String()) {
		e.put("/v2/debian/manifests/"+tag, mediaType, data)
	}
	return desc
}

// image puts an image of one layer for a platform.
func (e *elsewhere) image(os, arch, layerType string, tags ...string) ocispec.Descriptor {
	e.t.Helper()
	desc := e.manifest(ocispec.MediaTypeImageManifest, e.json(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: e.blob(ocispec.MediaTypeImageConfig, e.json(ocispec.Image{Platform: ocispec.Platform{OS: os, Architecture: arch}})),
		Layers: []ocispec.Descriptor{e.blob(layerType, []byte(os+arch))},
	}), tags...)
	desc.Platform = &ocispec.Platform{OS: os, Architecture: arch}
	return desc
}

func TestChoose(t *testing.T) {
	e := newElsewhere(t)
	amd := e.image("linux", "amd64", ocispec.MediaTypeImageLayerGzip, "amd")
	arm := e.image("linux", "arm64", ocispec.MediaTypeImageLayerGzip, "arm")
	windows := e.image("windows", "amd64", ocispec.MediaTypeImageLayerGzip, "windows")
	e.image("linux", "amd64", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign")
	e.manifest(ocispec.MediaTypeImageIndex, e.json(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{windows, arm, amd}}), "all")
	e.manifest(ocispec.MediaTypeImageIndex, e.json(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{windows, arm}}), "others")
	e.manifest("application/vnd.docker.distribution.manifest.v1+prettyjws", []byte(`{"schemaVersion": 1}`), "old")
	e.manifest(ocispec.MediaTypeImageManifest, e.json(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: e.blob("application/vnd.cncf.helm.config.v1+json", []byte("{}"))}), "chart")

	for _, tt := range []struct {
		tag, arch, err string
		want           ocispec.Descriptor
	}{
		{tag: "all", arch: "amd64", want: amd},
		{tag: "all", arch: "arm64", want: arm},
		{tag: "amd", arch: "amd64", want: amd},
		{tag: "amd", arch: "arm64", err: `for linux/amd64, not for linux/arm64`},
		{tag: "others", arch: "amd64", err: "it has no image for linux/amd64, but for windows/amd64, linux/arm64"},
		{tag: "windows", arch: "amd64", err: "for windows/amd64, not for linux/amd64"},
		{tag: "foreign", arch: "amd64", err: "none of a root filesystem that the registry has"},
		{tag: "old", arch: "amd64", err: "schema 1, which is obsolete"},
		{tag: "chart", arch: "amd64", err: "not an image but an artifact"},
		{tag: "none", arch: "amd64", err: "MANIFEST_UNKNOWN"},
	} {
		t.Run(tt.tag+" for "+tt.arch, func(t *testing.T) {
			r := open(t, Options{Hostname: e.Listener.Addr().String(), Architecture: tt.arch})
			got, cfg, err := r.Choose(t.Context(), "debian", tt.tag)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil || got.Digest != tt.want.Digest || cfg.Architecture != tt.arch {
				t.Errorf("%s for %s, %v, want %s", got.Digest, cfg.Architecture, err, tt.want.Digest)
			}
		})
	}
	if n := count(e.seen.take(), http.MethodGet, arm.Digest.Encoded()); n == 0 {
		t.Error("nothing was seen")
	}
}

// What a tag names is asked for by HEAD, which costs nobody a pull.
func TestDigest(t *testing.T) {
	e := newElsewhere(t)
	want := e.image("linux", "amd64", ocispec.MediaTypeImageLayerGzip, "12")
	e.seen.take()
	r := open(t, Options{Hostname: e.Listener.Addr().String()})
	if got, err := r.Digest(t.Context(), "debian", "12"); err != nil || got != want.Digest {
		t.Errorf("%s, %v, want %s", got, err, want.Digest)
	}
	if seen := e.seen.take(); count(seen, http.MethodHead, "/manifests/12") != 1 || count(seen, http.MethodGet, "/manifests/") != 0 {
		t.Errorf("requests: %v", seen)
	}
	if _, err := r.Digest(t.Context(), "debian", "13"); !errdefs.IsNotFound(err) {
		t.Errorf("a tag that is not there: %v", err)
	}
}

// Errors name what the user wrote the image in.
func TestSetting(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	r := open(t, Options{Hostname: server.Listener.Addr().String(), Setting: "`image:`"})
	_, _, err := r.Choose(t.Context(), "debian", "12")
	if want := fmt.Sprintf("check `image:`, and if it is right, run docker login %s", server.Listener.Addr()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
}
