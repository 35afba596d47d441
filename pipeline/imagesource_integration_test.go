//go:build integration

package pipeline

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"

	"vauban/pipeline/bases"
	"vauban/pipeline/identities"
	"vauban/pipeline/plan"
	"vauban/pipeline/provenance"

	memory "github.com/google/go-containerregistry/pkg/registry"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/config"
	"vauban/internal/testenv"
	"vauban/registry"
)

// layerOf is a layer of files, as docker pushes it.
func layerOf(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }, tarball.WithMediaType(types.DockerLayer))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// pushElsewhere pushes an image of layers, with a configuration of its own.
func pushElsewhere(t *testing.T, reference string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Config = v1.Config{User: "nobody", Env: []string{"LANG=xx"}, WorkingDir: "/srv", Entrypoint: []string{"/bin/false"}, Labels: map[string]string{"theirs": "1"}}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return img
}

// A base of an image has its layers and nothing of its configuration, and is
// the same each time; what is no Debian is refused before it is one.
func TestBaseOfImage(t *testing.T) {
	server := httptest.NewServer(memory.New(memory.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := server.Listener.Addr().String()
	below := layerOf(t, map[string]string{"bin/sh": "", "usr/bin/dpkg": "", "usr/bin/apt-get": "", "etc/gone": ""})
	above := layerOf(t, map[string]string{"etc/.wh.gone": "", "etc/os-release": "PRETTY_NAME=\"Debian\"\n"})
	upstream := pushElsewhere(t, host+"/debian:12", below, above)
	pushElsewhere(t, host+"/alpine:3", layerOf(t, map[string]string{"bin/sh": "", "usr/lib/os-release": "ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.20\"\n"}))

	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	text := fmt.Sprintf("good:\n  image: %[1]s/debian:12\npinned:\n  image: %[1]s/debian:other@%[2]s\nbad:\n  image: %[1]s/alpine:3\n", host, must(upstream.Digest()))
	write(t, filepath.Join(dir, "config.yml"), text)
	cfg, err := config.Load(filepath.Join(dir, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	engine := testenv.Engine(t, state)
	reg, err := registry.Open(t.Context(), registry.Options{StateDir: state, BlobPath: engine.BlobPath})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	r, err := New(t.Context(), Options{Config: cfg, Identities: identities.None(), Engine: engine, Registry: reg, StateDir: state, Version: "test", Log: testenv.Log(t)}, &plan.Plan{})
	if err != nil {
		t.Fatal(err)
	}

	img, from, err := (&baseTask{r.job(nil), cfg.Bases[0]}).importSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if from.String() != must(upstream.Digest()).String() {
		t.Errorf("it is from %s", from)
	}
	wantLabels := map[string]string{provenance.LabelBase: "good", ocispec.AnnotationBaseImageName: host + "/debian:12", ocispec.AnnotationBaseImageDigest: from.String()}
	if diff := cmp.Diff(ocispec.ImageConfig{Labels: wantLabels}, img.Config.Config); diff != "" {
		t.Errorf("its configuration (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantLabels, img.Manifest.Annotations); diff != "" {
		t.Errorf("its annotations (-want +got):\n%s", diff)
	}
	for i, l := range must(upstream.Layers()) {
		if got := img.Manifest.Layers[i]; got.Digest.String() != must(l.Digest()).String() || got.MediaType != ocispec.MediaTypeImageLayerGzip {
			t.Errorf("layer %d is %v", i, got)
		}
	}
	var names []string
	err = engine.Mount(t.Context(), img, func(root string) (err error) {
		names, err = filepath.Glob(filepath.Join(root, "etc", "*"))
		return err
	})
	if err != nil || len(names) != 1 || filepath.Base(names[0]) != "os-release" {
		t.Errorf("/etc has %v, %v", names, err)
	}
	if desc, err := reg.Resolve(t.Context(), "good/raw-iso", registry.Latest); err != nil || desc.Digest != img.Digest() {
		t.Errorf("the registry has %s, %v", desc.Digest, err)
	}

	again, _, err := (&baseTask{r.job(nil), cfg.Bases[0]}).importSource(t.Context())
	if err != nil || again.Digest() != img.Digest() {
		t.Errorf("the same image gives %s and then %s, %v", img.Digest(), again.Digest(), err)
	}
	if pinned, at, err := (&baseTask{r.job(nil), cfg.Bases[1]}).importSource(t.Context()); err != nil || at != from || !slices.Equal(pinned.Config.RootFS.DiffIDs, img.Config.RootFS.DiffIDs) {
		t.Errorf("by its digest: %s, %v", at, err)
	}
	_, _, err = (&baseTask{r.job(nil), cfg.Bases[2]}).importSource(t.Context())
	want := cfg.Path + ":5:1: importing base \"bad\" from image " + host + "/alpine:3: Alpine Linux v3.20 has no /usr/bin/dpkg"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if _, err := reg.Resolve(t.Context(), "bad/raw-iso", registry.Latest); err == nil {
		t.Error("what was refused has a tag")
	}

	// A tag that moves is another image.
	named := bases.NewUpstream(cfg, config.Settings{}, state, testenv.Log(t))
	pushElsewhere(t, host+"/debian:12", below)
	if now, err := named(t.Context(), cfg.Bases[0]); err != nil || now == from {
		t.Errorf("the tag names %s now, %v", now, err)
	}
	if now, err := named(t.Context(), cfg.Bases[1]); err != nil || now != from {
		t.Errorf("the digest names %s now, %v", now, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
