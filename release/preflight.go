package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CheckTree finds what would keep Publish from writing releases of masters to
// the tree at dir. Nothing stays of what it tries.
func CheckTree(dir, owner string, masters ...string) error {
	t := &tree{dir: dir, uid: -1, gid: -1}
	if owner != "" {
		var err error
		if t.uid, t.gid, err = lookupOwner(owner); err != nil {
			return err
		}
	}
	tried := map[string]bool{}
	folders := []string{dir, t.path(poolName)}
	for _, master := range masters {
		folders = append(folders, t.path(master), t.path(master, releasesName))
	}
	for _, folder := range folders {
		folder, err := nearest(folder)
		if err == nil && !tried[folder] {
			tried[folder] = true
			err = t.tryWriting(folder)
		}
		if err != nil {
			return fmt.Errorf("releases cannot be published in %q: %w: correct UPLOAD_DIR, UPLOAD_OWNER or the permissions, or build with --no-publish", dir, err)
		}
	}
	return nil
}

// nearest is the folder itself, or the one in which it would be made.
func nearest(folder string) (string, error) {
	for {
		info, err := os.Stat(folder)
		switch {
		case err == nil && info.IsDir():
			return folder, nil
		case err == nil:
			return "", fmt.Errorf("%q is not a folder", folder)
		case !errors.Is(err, fs.ErrNotExist) || folder == filepath.Dir(folder):
			return "", err
		}
		if _, err := os.Lstat(folder); err == nil {
			return "", fmt.Errorf("%q is a link to nothing", folder)
		}
		folder = filepath.Dir(folder)
	}
}

func (t *tree) tryWriting(folder string) error {
	try, err := os.MkdirTemp(folder, unfinished+"try-")
	if err != nil {
		return err
	}
	return errors.Join(t.own(try, 0o755), os.Remove(try))
}

// A Disk is a filesystem.
type Disk struct {
	ID   uint64 // the same for folders on one filesystem
	Free int64  // bytes that this process can still write
}

// DiskOf is the filesystem of a folder, or of the one in which it would be
// made.
func DiskOf(folder string) (Disk, error) {
	folder, err := nearest(folder)
	if err != nil {
		return Disk{}, err
	}
	var stat unix.Stat_t
	var disk unix.Statfs_t
	if err := errors.Join(unix.Stat(folder, &stat), unix.Statfs(folder, &disk)); err != nil {
		return Disk{}, fmt.Errorf("looking at the disk of %q: %w", folder, err)
	}
	return Disk{ID: stat.Dev, Free: int64(disk.Bavail) * disk.Bsize}, nil
}
