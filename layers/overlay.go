package layers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// overlay is an active snapshot's place on the builder.
// Source: https://docs.kernel.org/filesystems/overlayfs.html
type overlay struct {
	upper, work string
	lower       []string // topmost first
}

func parseOverlay(mounts []mount.Mount) (overlay, error) {
	if len(mounts) != 1 || mounts[0].Type != "overlay" {
		return overlay{}, fmt.Errorf("containerd's snapshots are not overlayfs mounts but %v: use the overlayfs snapshotter", mounts)
	}
	var o overlay
	for _, option := range mounts[0].Options {
		switch name, value, _ := strings.Cut(option, "="); name {
		case "upperdir":
			o.upper = value
		case "workdir":
			o.work = value
		case "lowerdir":
			o.lower = strings.Split(value, ":")
		}
	}
	if o.upper == "" || o.work == "" || len(o.lower) == 0 {
		return o, fmt.Errorf("the snapshot's mount %v lacks an upper, work or lower directory", mounts[0].Options)
	}
	return o, nil
}

// mounts says how the container's root is mounted: so that directories of the
// layers beneath can be renamed, as on a plain filesystem, else with nothing in
// the upperdir that only overlayfs itself could read; and, as the engine syncs
// once before it commits, without syncing for every package that dpkg unpacks.
func (o overlay) mounts(volatile bool) []mount.Mount {
	options := []string{
		"lowerdir=" + strings.Join(o.lower, ":"), "upperdir=" + o.upper, "workdir=" + o.work,
		"index=off", "redirect_dir=on", "metacopy=off",
	}
	if volatile {
		options = append(options, "volatile")
	}
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}
}

// canMountVolatile tries the mount option, which Linux has since 5.10.
func canMountVolatile(dir string) bool {
	o := overlay{upper: filepath.Join(dir, "try/upper"), work: filepath.Join(dir, "try/work"), lower: []string{filepath.Join(dir, "try/lower")}}
	target := filepath.Join(dir, "try/root")
	for _, d := range []string{o.upper, o.work, o.lower[0], target} {
		if os.MkdirAll(d, 0o700) != nil {
			return false
		}
	}
	defer os.RemoveAll(filepath.Join(dir, "try"))
	if mount.All(o.mounts(true), target) != nil {
		return false
	}
	return mount.Unmount(target, 0) == nil
}

// dateRoot gives the new root directory its parent's mtime: no layer has that
// date, and an export of the same layers would differ by it.
func (o overlay) dateRoot() error {
	info, err := os.Stat(o.lower[0])
	if err != nil {
		return fmt.Errorf("reading the date of the parent's root: %w", err)
	}
	return os.Chtimes(o.upper, info.ModTime(), info.ModTime())
}

// inLower looks path, relative to the root, up in the lower directories as
// overlayfs would, without following links. The error is fs.ErrNotExist when
// the parent image has no such path.
func (o overlay) inLower(path string) (fs.FileInfo, string, error) {
	names := strings.Split(filepath.Clean(path), "/")
	for _, layer := range o.lower {
		info, found, hides, err := lookup(layer, names)
		if err != nil || found {
			return info, filepath.Join(layer, path), err
		}
		if hides {
			break
		}
	}
	return nil, "", fs.ErrNotExist
}

// lookup finds names below one layer; hides says that the layers beneath do
// not show through.
func lookup(layer string, names []string) (info fs.FileInfo, found, hides bool, err error) {
	path := layer
	for i, name := range names {
		path = filepath.Join(path, name)
		info, err = os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, false, hides, nil
		} else if err != nil {
			return nil, false, false, err
		}
		if isWhiteout(info) {
			return nil, false, true, nil
		}
		last := i == len(names)-1
		if !info.IsDir() && !last {
			return nil, false, true, nil
		}
		hides = hides || info.IsDir() && isOpaque(path)
	}
	return info, true, hides, nil
}

func isWhiteout(info fs.FileInfo) bool {
	st := info.Sys().(*syscall.Stat_t)
	return info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

func isOpaque(dir string) bool {
	value := make([]byte, 4)
	n, err := unix.Lgetxattr(dir, "trusted.overlay.opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}

// withdraw removes a path from the upperdir, so that the parent's shows
// again, and the directories that were only made or copied up for it.
func (o overlay) withdraw(path string) error {
	upper := filepath.Join(o.upper, path)
	err := keepingDate(filepath.Dir(upper), func() error { return os.Remove(upper) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := filepath.Dir(path); dir != "." && dir != "/"; dir = filepath.Dir(dir) {
		upper := filepath.Join(o.upper, dir)
		below, _, err := o.inLower(dir)
		if err == nil && !isCopy(upper, below) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := keepingDate(filepath.Dir(upper), func() error { return os.Remove(upper) }); err != nil {
			return nil // not empty: a step put something there
		}
	}
	return nil
}

// isCopy reports whether a directory of the upperdir is as the one below, which
// overlayfs copied up to hold something.
func isCopy(upper string, below fs.FileInfo) bool {
	info, err := os.Lstat(upper)
	if err != nil || !below.IsDir() || info.Mode() != below.Mode() || !info.ModTime().Equal(below.ModTime()) || isOpaque(upper) {
		return false
	}
	mine, theirs := info.Sys().(*syscall.Stat_t), below.Sys().(*syscall.Stat_t)
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(upper, names)
	if err != nil || mine.Uid != theirs.Uid || mine.Gid != theirs.Gid {
		return false
	}
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if name != "" && !strings.HasPrefix(name, "trusted.overlay.") {
			return false // it may differ
		}
	}
	return true
}

// clean removes from the upperdir what no layer may hold: mount points that
// the runtime had to make, and sockets, whose paths it returns.
func (o overlay) clean(mountPoints []string) (sockets []string, err error) {
	slices.Sort(mountPoints)
	for _, path := range slices.Backward(mountPoints) {
		_, _, err := o.inLower(path)
		// A step's link on the way would lead to some place on the builder.
		_, found, _, lookupErr := lookup(o.upper, strings.Split(path, "/"))
		if errors.Is(err, fs.ErrNotExist) && found && lookupErr == nil && isEmpty(filepath.Join(o.upper, path)) {
			if err := o.withdraw(path); err != nil {
				return nil, err
			}
		}
	}
	err = filepath.WalkDir(o.upper, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSocket != 0 {
			sockets = append(sockets, strings.TrimPrefix(path, o.upper))
			return os.Remove(path)
		}
		return err
	})
	return sockets, err
}

func isEmpty(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		return err == nil && len(entries) == 0
	}
	return info.Mode().IsRegular() && info.Size() == 0
}
