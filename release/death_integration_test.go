//go:build integration

package release

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// fullDisk returns a filesystem with so many bytes.
func FullDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestPublishFullDisk(t *testing.T) {
	dir := FullDisk(t, 256<<10)
	mustPublish(t, dir, built(t, first, "one", "web01"))
	r := next(t)
	must(t, os.Truncate(r.Rootfs.Path, 1<<20))
	if _, err := Publish(t.Context(), dir, r, TreeOptions{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("error %v, want that of the full disk", err)
	}
	wantServed(t, dir, first)
	mustPublish(t, dir, next(t)) // a smaller one
	wantServed(t, dir, second)
}

func TestPublishOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	p, err := Publish(t.Context(), dir, built(t, first, "one", "web01"), TreeOptions{Owner: "nobody:daemon"})
	must(t, err)
	must(t, p.Verify())
	for name := range listing(t, dir) {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, name), &st))
		if st.Uid != 65534 || st.Gid != 1 {
			t.Errorf("%s belongs to %d:%d, want nobody:daemon", name, st.Uid, st.Gid)
		}
	}
}
