package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"vauban/internal/filelock"
	"vauban/internal/owned"
)

// cureStateDir is what helps when a filesystem cannot hold upperdirs.
const cureStateDir = "set --state or VAUBAN_STATE_DIR to a directory on ext4, btrfs, or xfs made with ftype=1; in a container, to a volume on one"

// CheckStateDir says whether a directory, which it makes, is root's alone, see
// [owned.Make], and can hold the changes of overlay mounts: it makes such a
// mount and deletes in it. Directories above it may belong to the users above.
// The error says what is missing and what to do.
func CheckStateDir(dir string, above ...int) error {
	if err := checkStateDir(dir, above); err != nil {
		return fmt.Errorf("checking the state directory %q: %w", dir, err)
	}
	return nil
}

func checkStateDir(dir string, above []int) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if strings.ContainsAny(dir, `:,\`) {
		return errors.New(`mount options cannot hold a ":", "," or "\": choose another name`)
	}
	if os.Geteuid() != 0 {
		return errors.New("overlay mounts need root: run vauban as root")
	}
	if err := owned.Make(dir, above...); err != nil {
		return err
	}
	// One at a time: what is there under the name is of a run that died.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lock, err := filelock.Open(ctx, filepath.Join(dir, "try-overlay.lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	try := filepath.Join(dir, ".try-overlay")
	if err := removeTry(try); err != nil {
		return err
	}
	if err := os.Mkdir(try, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeTry(try)) }()
	hasTypes, err := fs.SupportsDType(try)
	if err != nil {
		return err
	}
	if !hasTypes {
		return errors.New("the filesystem lacks d_type support: " + cureStateDir)
	}
	return tryOverlay(try)
}

// removeTry removes what tryOverlay makes, at whatever point it ended.
func removeTry(dir string) error {
	if err := mount.UnmountRecursive(dir, unix.MNT_DETACH); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// tryOverlay mounts, deletes a file and replaces a directory, and looks at
// what is left in the upperdir.
// Source: https://docs.kernel.org/filesystems/overlayfs.html
func tryOverlay(dir string) (err error) {
	root, upper := filepath.Join(dir, "root"), filepath.Join(dir, "upper")
	for _, sub := range []string{"root", "upper", "work", "lower", "lower/gone", "lower/dir"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	m := mount.Mount{Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + filepath.Join(dir, "lower"), "upperdir=" + upper, "workdir=" + filepath.Join(dir, "work"),
	}}
	if err := m.Mount(root); err != nil {
		return mountAdvice(err)
	}
	defer func() { err = errors.Join(err, mount.UnmountAll(root, 0)) }()
	err = errors.Join(os.Remove(filepath.Join(root, "gone")),
		os.Remove(filepath.Join(root, "dir")), os.Mkdir(filepath.Join(root, "dir"), 0o700))
	if err != nil {
		return fmt.Errorf("deleting in an overlay mount: %w: %s", err, cureStateDir)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(upper, "gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		return errors.New("the filesystem cannot store whiteouts (character devices 0:0): " + cureStateDir)
	}
	value := make([]byte, 1)
	if _, err := unix.Lgetxattr(filepath.Join(upper, "dir"), "trusted.overlay.opaque", value); err != nil || value[0] != 'y' {
		return errors.New("the filesystem cannot store trusted.* attributes: " + cureStateDir)
	}
	return nil
}

func mountAdvice(err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: this kernel has no overlayfs: run modprobe overlay", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: mounting is not allowed here: run in a container with CAP_SYS_ADMIN, or on the machine itself", err)
	}
	return fmt.Errorf("%w: the filesystem cannot hold an upperdir (overlay, NFS, …): %s", err, cureStateDir)
}
