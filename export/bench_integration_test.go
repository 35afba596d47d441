//go:build integration

package export

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkRootfs packs one tree with Rootfs and with mksquashfs as it is. The
// tree is EXPORT_BENCH_ROOT, or a copy of what this machine has in /usr/bin.
func BenchmarkRootfs(b *testing.B) {
	root := benchRoot(b)
	out := filepath.Join(b.TempDir(), "out")
	b.Run("vauban", func(b *testing.B) {
		for b.Loop() {
			if _, err := Rootfs(b.Context(), out, mounted(root), RootfsOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("mksquashfs", func(b *testing.B) {
		for b.Loop() {
			plain := exec.CommandContext(b.Context(), "mksquashfs", root, out, "-noappend", "-quiet", "-no-progress",
				"-comp", "zstd", "-Xcompression-level", "9")
			if text, err := plain.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, text)
			}
		}
	})
}

func benchRoot(b *testing.B) string {
	root := cmp.Or(os.Getenv("EXPORT_BENCH_ROOT"), b.TempDir())
	if os.Getenv("EXPORT_BENCH_ROOT") == "" {
		if text, err := exec.CommandContext(b.Context(), "cp", "-a", "/usr/bin", "/etc", root).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, text)
		}
	}
	return root
}
