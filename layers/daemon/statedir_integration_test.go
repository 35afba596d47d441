//go:build integration

package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A run that was killed while it tried the state directory leaves a mount,
// which the next one takes away.
func TestCheckStateDirAfterAKilledRun(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, ".try-overlay", "root")
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", root, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(root, unix.MNT_DETACH)
	var all sync.WaitGroup // runs that start together try one after the other
	for range 4 {
		all.Go(func() {
			if err := CheckStateDir(dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Error("the mount is still there")
	}
	if _, err := os.Stat(filepath.Dir(root)); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
}

// Of starters at once each finds the link to the shim, and none leaves another
// one; nor does one that was killed.
func TestLinkShimAtOnce(t *testing.T) {
	p, err := makePaths(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/killed", filepath.Join(p.binDir(), shimName+".new")); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := p.linkShim(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(filepath.Join(p.binDir(), shimName)); err != nil || got != self {
		t.Errorf("the shim is %q, %v; want %q", got, err, self)
	}
	if left, err := filepath.Glob(filepath.Join(p.binDir(), "*.new*")); err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
}
