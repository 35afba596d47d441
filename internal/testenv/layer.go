package testenv

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"

	"vauban/layers"
)

// TopLayer lists what the last layer of an image holds, less directories.
func TopLayer(t testing.TB, e *layers.Engine, img layers.Image) map[string]*tar.Header {
	t.Helper()
	blob := img.Manifest.Layers[len(img.Manifest.Layers)-1]
	r, err := e.Store().ReaderAt(e.Context(t.Context()), blob)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	plain, err := gzip.NewReader(content.NewReader(r))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*tar.Header{}
	for archive := tar.NewReader(plain); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeDir {
			found["/"+strings.TrimPrefix(strings.TrimPrefix(h.Name, "./"), "/")] = h
		}
	}
}
