package export

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// aclPrefix begins the names of the extended attributes that hold POSIX ACLs,
// system.posix_acl_access and _default. Squashfs stores user, trusted and
// security attributes alone.
const aclPrefix = "system.posix_acl_"

// findACLs returns the paths below root, sorted, that have a POSIX ACL, except
// those in skip and below.
func findACLs(root string, skip []string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if _, skipped := slices.BinarySearch(skip, name); skipped {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.Type()&fs.ModeSymlink != 0 {
			return nil // links have no ACLs
		}
		has, err := hasACL(path)
		if has {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for ACLs: %w", err)
	}
	slices.Sort(found)
	return found, nil
}

func hasACL(path string) (bool, error) {
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(path, buf)
	for errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 64<<10) // the kernel's limit
		n, err = unix.Llistxattr(path, buf)
	}
	if err != nil {
		return false, &fs.PathError{Op: "listxattr", Path: path, Err: err}
	}
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if strings.HasPrefix(name, aclPrefix) {
			return true, nil
		}
	}
	return false, nil
}
