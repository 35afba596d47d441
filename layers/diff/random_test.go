//go:build integration

package diff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vandal changes a tree at random, in every way that a layer can express. The
// same seed does the same to the same tree.
type vandal struct {
	*rand.Rand
	root string
}

// names are few, so that changes meet, and awkward.
var names = []string{
	"a", "b", "c", "d", "var", "log", "tmp", "x y", "new\nline", "\xff\xfe", "ünï",
	"%=", "-dash", ".dot", strings.Repeat("long", 40),
}

// change does one thing; that it cannot be done is not an error, as a file may
// not be where a directory would be needed.
func (v *vandal) change(t *testing.T) {
	t.Helper()
	changes := []func() error{
		v.write, v.write, v.write, v.rewrite, v.mkdir, v.mkdir, v.symlink, v.device,
		v.link, v.link, v.remove, v.remove, v.removeAll, v.rename, v.move, v.move, v.chmod, v.chown, v.touch,
		v.setXattr, v.setXattr, v.removeXattr, v.recreate, v.sparse, v.replace, v.replace,
	}
	if err := changes[v.IntN(len(changes))](); err != nil && !expected(err) {
		t.Fatalf("changing the tree: %v", err)
	}
}

func expected(err error) bool {
	for _, known := range []error{
		fs.ErrNotExist, fs.ErrExist, unix.ENOTDIR, unix.EISDIR, unix.EXDEV, unix.EINVAL, unix.ENOTEMPTY,
		unix.EPERM, unix.EACCES, unix.ENODATA, unix.ELOOP, unix.EOPNOTSUPP, unix.ENAMETOOLONG,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// path makes up a path whose directory, links followed, is in the tree.
func (v *vandal) path() string {
	p := v.anyPath()
	dir, err := filepath.EvalSymlinks(filepath.Dir(p))
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	info, statErr := os.Stat(dir)
	if err != nil || statErr != nil || !info.IsDir() || !strings.HasPrefix(dir+"/", v.root+"/") {
		return filepath.Join(v.root, filepath.Base(p))
	}
	return p
}

// anyPath makes up a path of one to four names, often an existing one.
func (v *vandal) anyPath() string {
	if existing := v.existing(); len(existing) > 0 && v.IntN(3) > 0 {
		picked := existing[v.IntN(len(existing))]
		if v.IntN(3) == 0 {
			picked = filepath.Join(picked, names[v.IntN(len(names))])
		}
		return picked
	}
	p := v.root
	for range 1 + v.IntN(4) {
		p = filepath.Join(p, names[v.IntN(len(names))])
	}
	return p
}

func (v *vandal) existing() (paths []string) {
	filepath.WalkDir(v.root, func(p string, _ fs.DirEntry, err error) error {
		if err == nil && p != v.root {
			paths = append(paths, p)
		}
		return err
	})
	return paths
}

func (v *vandal) content() []byte {
	sizes := []int{0, 1, 511, 512, 513, 5000, 70000}
	return bytes.Repeat([]byte{byte(v.IntN(4))}, sizes[v.IntN(len(sizes))])
}

func (v *vandal) write() error {
	p := v.path()
	if info, err := os.Lstat(p); err == nil && !info.Mode().IsRegular() {
		return nil // a pipe would block
	}
	mode := fs.FileMode([]uint32{0o644, 0o600, 0o755}[v.IntN(3)])
	return os.WriteFile(p, v.content(), mode)
}

// rewrite makes a file again with what it had.
func (v *vandal) rewrite() error {
	p := v.path()
	info, err := os.Lstat(p)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return run("sh", "-c", `cp -a "$1" "$1.new" && mv "$1.new" "$1"; rm -f "$1.new"`, "sh", p)
}

func (v *vandal) mkdir() error { return os.MkdirAll(v.path(), 0o755) }

func (v *vandal) symlink() error {
	targets := []string{"a", "/a", "../b", "/nowhere", "new\nline", "\xff", strings.Repeat("../x/", 50)}
	return os.Symlink(targets[v.IntN(len(targets))], v.path())
}

func (v *vandal) device() error {
	kinds := []uint32{unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK}
	return unix.Mknod(v.path(), kinds[v.IntN(3)]|0o640, int(unix.Mkdev(uint32(1+v.IntN(300)), uint32(v.IntN(70000)))))
}

func (v *vandal) link() error   { return os.Link(v.path(), v.path()) }
func (v *vandal) rename() error { return os.Rename(v.path(), v.path()) }

// move renames a directory: beside itself, elsewhere, or back.
func (v *vandal) move() error {
	dirs := slices.DeleteFunc(v.existing(), func(p string) bool {
		info, err := os.Lstat(p)
		return err != nil || !info.IsDir()
	})
	if len(dirs) == 0 {
		return nil
	}
	from := dirs[v.IntN(len(dirs))]
	to := filepath.Join(filepath.Dir(from), names[v.IntN(len(names))])
	switch v.IntN(4) {
	case 0:
		to = v.path()
	case 1:
		to = filepath.Join(dirs[v.IntN(len(dirs))], names[v.IntN(len(names))])
	}
	if err := os.Rename(from, to); err != nil || v.IntN(4) > 0 {
		return err
	}
	return os.Rename(to, from)
}

func (v *vandal) remove() error { return os.Remove(v.path()) }

func (v *vandal) removeAll() error { return os.RemoveAll(v.path()) }

// isLink keeps changes of metadata from what links point to.
func isLink(p string) bool {
	info, err := os.Lstat(p)
	return err != nil || info.Mode()&fs.ModeSymlink != 0
}

func (v *vandal) chmod() error {
	p := v.path()
	if isLink(p) {
		return nil
	}
	return unix.Chmod(p, []uint32{0o600, 0o644, 0o755, 0o4755, 0o2711, 0o1777, 0}[v.IntN(7)])
}

func (v *vandal) chown() error {
	ids := []int{0, 1, 1000, 65534, 1 << 22, 1<<31 + 5}
	return os.Lchown(v.path(), ids[v.IntN(len(ids))], ids[v.IntN(len(ids))])
}

func (v *vandal) touch() error {
	p := v.path()
	if isLink(p) {
		return nil
	}
	at := time.Unix([]int64{0, -5, 1, 1_000_000_000, 1 << 34}[v.IntN(5)], 0)
	return os.Chtimes(p, at, at)
}

func (v *vandal) setXattr() error {
	attributes := []struct {
		name  string
		value []byte
	}{
		{"user.one", []byte("1")},
		{"user.empty", nil},
		{"user.binary%", []byte("\x00\xff\n=")},
		{"trusted.vauban", []byte("kept")},
		{"security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"system.posix_acl_access", acl(7)},
		{"system.posix_acl_default", acl(5)},
	}
	a := attributes[v.IntN(len(attributes))]
	return unix.Lsetxattr(v.path(), a.name, a.value, 0)
}

// acl is a list that gives user 7 a right besides the owner's and group's.
func acl(right uint16) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 7, 1<<32 - 1}, {2, uint32(right), 7}, {4, 5, 1<<32 - 1}, {16, 7, 1<<32 - 1}, {32, 4, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

func (v *vandal) removeXattr() error {
	p := v.path()
	if info, err := os.Lstat(p); err != nil || info.IsDir() {
		return err // OCI cannot take an attribute from a directory
	}
	return unix.Lremovexattr(p, []string{"user.one", "trusted.vauban", "security.capability", "system.posix_acl_access"}[v.IntN(4)])
}

// recreate makes a directory again with some of what it had: overlayfs marks
// it opaque.
func (v *vandal) recreate() error {
	p := v.path()
	if info, err := os.Lstat(p); err != nil || !info.IsDir() {
		return err
	}
	return run("sh", "-c", `d=$(dirname "$1"); cp -a "$1" "$d/.again" && rm -rf "$1" && mv "$d/.again" "$1"; rm -rf "$d/.again"`, "sh", p)
}

// replace puts something of another type in the place of what is there.
func (v *vandal) replace() error {
	existing := v.existing()
	if len(existing) == 0 {
		return nil
	}
	p := existing[v.IntN(len(existing))]
	info, err := os.Lstat(p)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(p); err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		if err := os.Mkdir(p, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(p, names[v.IntN(4)]), v.content(), 0o644)
	case v.IntN(2) == 0:
		return os.Symlink("a", p)
	}
	return os.WriteFile(p, v.content(), 0o644)
}

func (v *vandal) sparse() error {
	p := v.path()
	if info, err := os.Lstat(p); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.OpenFile(p, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("data"), int64(v.IntN(3))<<20)
	if err == nil && v.IntN(2) == 0 {
		err = f.Truncate(4<<20 + 77)
	}
	return errors.Join(err, f.Close())
}

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("running %q: %w: %s", slices.Concat([]string{name}, args), err, out)
	}
	return nil
}
