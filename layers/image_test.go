package layers

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func imageOf(name string, layers ...string) Image {
	img := Image{Descriptor: ocispec.Descriptor{Digest: digest.FromString(name)}}
	for _, l := range layers {
		img.Config.RootFS.DiffIDs = append(img.Config.RootFS.DiffIDs, digest.FromString(l))
		img.Manifest.Layers = append(img.Manifest.Layers, ocispec.Descriptor{Digest: digest.FromString("zipped " + l)})
	}
	return img
}

func TestAbove(t *testing.T) {
	master := imageOf("master", "base", "stage")
	for name, tt := range map[string]struct {
		host  Image
		above int // -1: refused
	}{
		"a host":          {imageOf("host", "base", "stage", "a", "b"), 2},
		"the master":      {master, 0},
		"another master":  {imageOf("host", "base", "other", "a"), -1},
		"another base":    {imageOf("host", "other", "stage", "a"), -1},
		"an ancestor":     {imageOf("host", "base"), -1},
		"another order":   {imageOf("host", "stage", "base", "a"), -1},
		"nothing at all":  {Image{}, -1},
		"the same layers": {imageOf("copy", "base", "stage"), 0},
	} {
		above, err := tt.host.Above(master)
		if tt.above < 0 {
			if !errors.Is(err, ErrNotBelow) || !strings.Contains(err.Error(), master.Digest().String()) || !strings.Contains(err.Error(), tt.host.Digest().String()) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || len(above) != tt.above {
			t.Errorf("%s: %d layers, %v; want %d", name, len(above), err, tt.above)
		}
	}
}
