//go:build integration

package layers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/layers"
)

// A root filesystem that unpacks to more than it may is one error, while it is
// read, and leaves no image.
func TestHostileRootfs(t *testing.T) {
	e, _ := shared.use(t)
	e.BoundImport(64 << 20)
	defer e.BoundImport(0)
	for name, tar := range map[string]io.Reader{
		"without end":     io.MultiReader(bytes.NewReader(layers.SparseBomb()[:512]), zeros{}),
		"a large file":    bytes.NewReader(layers.SparseBomb()),
		"too much of all": io.LimitReader(zeros{}, 65<<20),
	} {
		_, err := e.ImportRootfs(t.Context(), tar, ocispec.ImageConfig{}, layers.Change{Created: time.Unix(1700000000, 0)})
		if err == nil || !strings.Contains(err.Error(), "the layer exceeds a bound") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// An image that was made elsewhere, and is nothing that a base can be made of, is
// one error, and leaves no snapshot.
func TestHostileForeignImage(t *testing.T) {
	e, _ := shared.use(t)
	ctx := e.Context(t.Context())
	put := func(mediaType string, data []byte) ocispec.Descriptor {
		t.Helper()
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := content.WriteBlob(ctx, e.Store(), "test-"+desc.Digest.String(), bytes.NewReader(data), desc); err != nil {
			t.Fatal(err)
		}
		return desc
	}
	empty := make([]byte, 1024)
	right := []digest.Digest{digest.FromBytes(empty)}
	config := func(diffIDs []digest.Digest, history int) []byte {
		raw, err := json.Marshal(ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
			RootFS: ocispec.RootFS{Type: "layers", DiffIDs: diffIDs}, History: make([]ocispec.History, history)})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, test := range map[string]struct {
		layers [][]byte
		config []byte
		err    string // "": none
	}{
		"no layers":                  {nil, config(nil, 0), "has no layers"},
		"more diffIDs":               {[][]byte{empty}, config([]digest.Digest{right[0], right[0]}, 0), "1 layers and 2 diffIDs"},
		"fewer diffIDs":              {[][]byte{empty}, config(nil, 0), "1 layers and 0 diffIDs"},
		"a diffID that is none":      {[][]byte{empty}, config([]digest.Digest{"x"}, 0), "diffID \"x\""},
		"a diffID of other content":  {[][]byte{empty}, config([]digest.Digest{digest.FromString("x")}, 0), "wrong diff id"},
		"a configuration of garbage": {[][]byte{empty}, []byte("x"), "reading the configuration"},
		"a configuration of 9 MiB":   {[][]byte{empty}, bytes.Repeat([]byte(" "), 9<<20), "at most 8388608 are read"},
		"a file of a petabyte":       {[][]byte{layers.SparseBomb()}, config([]digest.Digest{digest.FromString("hole")}, 0), "the layer exceeds a bound"},
		"a window of terabytes":      {[][]byte{layers.ZstdWindow}, config([]digest.Digest{digest.FromString("window")}, 0), "window size exceeded"},
		"not a tar":                  {[][]byte{bytes.Repeat([]byte("x"), 4096)}, config([]digest.Digest{digest.FromString("tar")}, 0), "reading the layer"},
		"a history of 100,000":       {[][]byte{empty}, config(right, 100_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
				Config: put(ocispec.MediaTypeImageConfig, test.config)}
			for _, layer := range test.layers {
				m.Layers = append(m.Layers, put(ocispec.MediaTypeImageLayer, layer))
			}
			raw, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			desc := put(ocispec.MediaTypeImageManifest, raw)
			for way, adopt := range map[string]func() (layers.Image, error){
				"adopt": func() (layers.Image, error) { return e.Adopt(ctx, desc, map[string]string{"x": "y"}) },
				"load":  func() (layers.Image, error) { return e.Load(ctx, desc) },
			} {
				img, err := adopt()
				if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "sha256:")) {
					t.Errorf("%s: error %v, want %q", way, err, test.err)
				}
				if n := len(img.Config.History); test.err == "" && way == "adopt" && n != 1 {
					t.Errorf("%s: a history of %d", way, n)
				}
			}
		})
	}
}
