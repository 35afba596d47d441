package export

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sparseTree makes files with holes, and others before and behind them.
func sparseTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "before"), make([]byte, 5000), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "z-after"), []byte("end"), 0o644))
	must(t, os.Link(filepath.Join(dir, "before"), filepath.Join(dir, "link")))
	for name, offsets := range map[string][]int64{
		"lastlog":  {0, 300 << 20, 1<<30 - 1},
		"begin":    {0},
		"all-hole": nil,
		"very/" + strings.Repeat("long/", 40) + "name": {700 << 20},
	} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		f, err := os.Create(path)
		must(t, err)
		for _, at := range offsets {
			_, err = f.WriteAt([]byte("data"), at)
			must(t, err)
		}
		must(t, f.Truncate(1<<30))
		must(t, f.Close())
	}
	return dir
}

// gnuTar writes a tree as GNU tar does, with sparse entries of the format that
// conffs have.
func gnuTar(dir string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		tar := exec.CommandContext(ctx, "tar", "--create", "--format=posix", "--sparse", "--sparse-version=1.0", "--sort=name", "--directory", dir, ".")
		tar.Stdout = w
		return tar.Run()
	}
}

// blocks is how much of the disk or memory the files of a tree take, as du
// says it.
func blocks(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	seen := map[uint64]bool{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if !seen[st.Ino] {
			bytes += st.Blocks * 512
		}
		seen[st.Ino] = true
		return nil
	}))
	return bytes
}

// TestConffsOfSparseFiles: what is counted is what a machine's memory holds
// once GNU tar has unpacked the archive there, not four times 1 GiB.
func TestConffsOfSparseFiles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "conffs.tgz")
	report, err := Conffs(t.Context(), out, gnuTar(sparseTree(t)), ConffsOptions{})
	must(t, err)
	if report.Content != 4<<30+5003 || report.Size > 100<<10 {
		t.Errorf("%d bytes of content, %d of the archive", report.Content, report.Size)
	}
	memory, err := os.MkdirTemp("/dev/shm", "conffs") // a tmpfs
	must(t, err)
	defer os.RemoveAll(memory)
	// As the initramfs does: see boot/modules.d/90vauban/mount.sh.
	tar := exec.CommandContext(t.Context(), "tar", "--extract", "--gzip", "--preserve-permissions", "--numeric-owner",
		"--xattrs", "--xattrs-include=*", "--directory", memory, "--file", out)
	if said, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("unpacking: %v, %s", err, said)
	}
	if got := blocks(t, memory); got != report.Memory {
		t.Errorf("the files take %d bytes, %d were counted", got, report.Memory)
	}
}

// TestConffsLimitCountsMemory: a file that compresses well is no smaller in
// memory.
func TestConffsLimitCountsMemory(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "zeros"), make([]byte, 2<<20), 0o644))
	for limit, want := range map[int64]string{
		2<<20 - 1: `take 2 MiB of the machine's memory, more than conffs_max_size allows (2 MiB); its largest files: "zeros" (2 MiB)`,
		2 << 20:   "",
	} {
		_, err := Conffs(t.Context(), filepath.Join(t.TempDir(), "out"), func(ctx context.Context, w io.Writer) error {
			tar := exec.CommandContext(ctx, "tar", "--create", "--format=posix", "--directory", dir, ".")
			tar.Stdout = w
			return tar.Run()
		}, ConffsOptions{MaxSize: limit})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("limit %d: error %v, want %q", limit, err, want)
		}
	}
}
