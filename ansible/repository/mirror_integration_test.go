//go:build integration

package repository

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/internal/gittest"
)

// Git does not say of every file that it could not write why.
func TestMirrorOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	mirrors := filepath.Join(dir, "git")
	if err := os.Mkdir(mirrors, 0o700); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	repo := gittest.Repository(t, map[string]string{"play.yml": "x"})
	o := Options{Repo: repo, StateDir: dir, Environ: os.Environ()}
	if _, err := Open(t.Context(), o); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the error is %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	open(t, o)
}
