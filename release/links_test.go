package release

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tree, and the pool in it, may be on another disk.
func TestTreeBehindLinks(t *testing.T) {
	for name, linked := range map[string]string{"the tree": ".", "the pool": poolName} {
		t.Run(name, func(t *testing.T) {
			elsewhere, dir := t.TempDir(), filepath.Join(t.TempDir(), "tree")
			if linked != "." {
				must(t, os.Mkdir(dir, 0o755))
			}
			must(t, os.Symlink(elsewhere, filepath.Join(dir, linked)))
			mustPublish(t, dir, built(t, first, "one", "web01"))
			mustPublish(t, dir, built(t, second, "two", "web01"))

			masters, err := Masters(dir)
			must(t, err)
			if diff := cmp.Diff([]string{master}, masters); diff != "" {
				t.Errorf("masters (-want +got):\n%s", diff)
			}
			pruned, err := Prune(t.Context(), dir, PruneOptions{Masters: masters, Keep: 1}, TreeOptions{})
			must(t, err)
			want := []string{"initramfs.img." + version + "-" + short("i one"), "vmlinuz." + version + "-" + short("k one")}
			if diff := cmp.Diff(want, pruned.Pool); diff != "" {
				t.Errorf("pruned of the pool (-want +got):\n%s", diff)
			}
			wantServed(t, dir, second)
			p, err := Current(dir, master)
			must(t, err)
			must(t, p.Verify())
		})
	}
}

// Links of a release are relative, and would lead nowhere.
func TestPublishRefusesFolderOutOfTheTree(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink(t.TempDir(), filepath.Join(dir, master)))
	if _, err := Publish(t.Context(), dir, built(t, first, "one"), TreeOptions{}); err == nil {
		t.Error("a release whose kernel nobody can fetch was published")
	}
	if _, err := os.Lstat(filepath.Join(dir, master, currentName)); err == nil {
		t.Error("it is served")
	}
}
