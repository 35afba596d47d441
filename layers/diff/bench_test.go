package diff

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
)

// BenchmarkOneFile compares the cost of a layer with one changed file: read
// from the upper directory, and found by walking two trees of 20,000 files.
func BenchmarkOneFile(b *testing.B) {
	lower, merged, upper := b.TempDir(), b.TempDir(), b.TempDir()
	for i := range 20_000 {
		path := fmt.Sprintf("usr/%d/%d", i/100, i)
		if i%100 == 0 {
			must(b, os.MkdirAll(filepath.Join(lower, filepath.Dir(path)), 0o755))
			must(b, os.MkdirAll(filepath.Join(merged, filepath.Dir(path)), 0o755))
		}
		must(b, os.WriteFile(filepath.Join(lower, path), nil, 0o644))
		must(b, os.Link(filepath.Join(lower, path), filepath.Join(merged, path)))
	}
	for _, dir := range []string{merged, upper} {
		must(b, os.MkdirAll(filepath.Join(dir, "usr/0"), 0o755))
		must(b, os.WriteFile(filepath.Join(dir, "usr/0/changed"), []byte("changed"), 0o644))
	}
	b.Run("upperdir", func(b *testing.B) {
		for b.Loop() {
			_, err := WriteLayer(b.Context(), io.Discard, upper, LayerOptions{})
			must(b, err)
		}
	})
	b.Run("walking", func(b *testing.B) {
		for b.Loop() {
			must(b, archive.WriteDiff(b.Context(), io.Discard, lower, merged))
		}
	})
}
