package layers

import (
	"os"
	"path/filepath"
	"testing"
)

// A step may put a link where a mount point was made: what that leads to on the
// builder stays.
func TestCleanFollowsNoLink(t *testing.T) {
	builders := t.TempDir()
	o := overlay{upper: t.TempDir(), lower: []string{t.TempDir()}}
	empty := filepath.Join(builders, "cache/apt")
	mountPoint := filepath.Join(o.upper, "srv/made")
	for _, dir := range []string{empty, mountPoint} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(builders, filepath.Join(o.upper, "var")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.clean([]string{"var/cache/apt", "srv/made"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(empty); err != nil {
		t.Errorf("a folder of the builder is gone: %v", err)
	}
	if _, err := os.Stat(mountPoint); !os.IsNotExist(err) {
		t.Errorf("a mount point is left: %v", err)
	}
}
