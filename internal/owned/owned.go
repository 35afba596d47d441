// Package owned checks that only root can change or replace a directory.
//
// A program that root keeps files in a directory of another user runs what
// that user puts there. A directory is safe when it belongs to root, others
// cannot write to it, and the same is true of each directory above it: then
// no other user can rename or replace any part of its path, so that what was
// checked stays as it was.
package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's limit.
const maxLinks = 40

// published are the releases in a state directory, which may belong to the
// user that UPLOAD_OWNER names: nothing in it is run.
const published = "published"

// Make makes a directory, with mode 0700, and those above it that are missing,
// and checks it as [Check] does.
func Make(dir string, above ...int) error { return walkTo(dir, above, true) }

// Check says why users other than root and the running one could change what
// is in a directory. Directories above it may also belong to the users above,
// and may be sticky, as /tmp is. A directory that does not exist yet is fine
// when the ones above it are.
//
// It looks at the directory, at what is in it and at what is in its bin/.
// Deeper files need no look: what lies below a directory that is root's and
// that others cannot write to was put there by root.
func Check(dir string, above ...int) error { return walkTo(dir, above, false) }

func walkTo(dir string, above []int, makes bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	w := &walk{ours: []int{0, os.Geteuid()}, makes: makes, at: os.NewFile(uintptr(root), "/"), rest: split(dir)}
	w.above = append(above, w.ours...)
	defer func() { w.at.Close() }()
	for len(w.rest) > 0 {
		if err := w.checkParent(); err != nil {
			return err
		}
		if err := w.step(); errors.Is(err, fs.ErrNotExist) && !makes {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := w.checkLast(w.at.Name(), w.at); err != nil {
		return err
	}
	return w.checkEntries()
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// walk goes down a path by descriptors, so that it follows what it checked.
type walk struct {
	ours, above []int
	makes       bool
	at          *os.File // O_PATH; its name is the path so far
	rest        []string
	links       int
	shared      bool // at is sticky, and others can make files in it
}

// step goes to the next name.
func (w *walk) step() error {
	name := w.rest[0]
	path := filepath.Join(w.at.Name(), name)
	next, err := w.open(name, path)
	if err != nil {
		return err
	}
	info, err := next.Stat()
	if err != nil {
		return errors.Join(err, next.Close())
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		defer next.Close()
		return w.follow(next, info)
	case !info.IsDir():
		next.Close()
		return fmt.Errorf("%s is not a directory", path)
	}
	w.at.Close()
	w.at, w.rest = next, w.rest[1:]
	return nil
}

func (w *walk) open(name, path string) (*os.File, error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(w.at.Fd()), name, flags, 0)
	if errors.Is(err, unix.ENOENT) && w.makes {
		if err := unix.Mkdirat(int(w.at.Fd()), name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, &fs.PathError{Op: "mkdir", Path: path, Err: err}
		}
		fd, err = unix.Openat(int(w.at.Fd()), name, flags, 0)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// follow puts where a link leads in the place of its name.
func (w *walk) follow(link *os.File, info fs.FileInfo) error {
	if owner := ownerOf(info); w.shared && !slices.Contains(w.above, owner) {
		return fmt.Errorf("the link %s belongs to user %d, which can change its target: name the directory itself", link.Name(), owner)
	}
	if w.links++; w.links > maxLinks {
		return &fs.PathError{Op: "open", Path: link.Name(), Err: unix.ELOOP}
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.Fd()), "", target)
	if err != nil {
		return &fs.PathError{Op: "readlink", Path: link.Name(), Err: err}
	}
	w.rest = append(split(string(target[:n])), w.rest[1:]...)
	if !filepath.IsAbs(string(target[:n])) {
		return nil
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	w.at.Close()
	w.at = os.NewFile(uintptr(root), "/")
	return nil
}

// checkParent checks a directory above.
func (w *walk) checkParent() error {
	info, err := w.at.Stat()
	if err != nil {
		return err
	}
	path := w.at.Name()
	if owner := ownerOf(info); !slices.Contains(w.above, owner) {
		return fmt.Errorf("%s, above it, belongs to user %d, which could replace it: choose another place, or run `chown root: %s`", path, owner, quote(path))
	}
	who, cure, err := writers(w.at, info, w.above)
	if err != nil {
		return err
	}
	w.shared = who != ""
	if w.shared && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s can write to %s, above it, and replace it: choose another place, or run `%s %s`", who, path, cure, quote(path))
	}
	return nil
}

// checkLast checks the directory itself, and what is in it.
func (w *walk) checkLast(path string, found *os.File) error {
	info, err := found.Stat()
	if err != nil {
		return err
	}
	if owner := ownerOf(info); !slices.Contains(w.ours, owner) {
		return fmt.Errorf("%s belongs to user %d, not to root: choose another directory, or run `chown -R root: %s` after a look at what is there", path, owner, quote(path))
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	who, cure, err := writers(found, info, w.ours)
	if err != nil {
		return err
	}
	if who != "" {
		return fmt.Errorf("%s can write to %s: run `%s %s`", who, path, cure, quote(path))
	}
	return nil
}

// checkEntries looks at what is in the directory, and in its bin/, of which
// the programs are run.
func (w *walk) checkEntries() error {
	for _, sub := range []string{".", "bin"} {
		fd, err := unix.Openat(int(w.at.Fd()), sub, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) {
			continue // not there, or root's alone and we are not root
		} else if err != nil {
			return &fs.PathError{Op: "open", Path: filepath.Join(w.at.Name(), sub), Err: err}
		}
		dir := os.NewFile(uintptr(fd), filepath.Join(w.at.Name(), sub))
		names, err := dir.Readdirnames(-1)
		for _, name := range slices.DeleteFunc(names, func(name string) bool { return name == published }) {
			err = errors.Join(err, w.checkEntry(dir, name))
		}
		if err := errors.Join(err, dir.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) checkEntry(dir *os.File, name string) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	path := filepath.Join(dir.Name(), name)
	if errors.Is(err, unix.ENOENT) {
		return nil // another run removed it
	} else if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	entry := os.NewFile(uintptr(fd), path)
	defer entry.Close()
	return w.checkLast(path, entry)
}
