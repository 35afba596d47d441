// Package hostile makes, for tests, what a stage, a package or a foreign image
// can leave in the place of a file that the builder reads.
package hostile

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Kind is one thing that is not a small regular file of the image's own.
type Kind struct {
	Name string
	// Make puts it at a path below root.
	Make func(root, path string) error
	// Says is what the error about it says. A link that leads to nothing in
	// the image is a missing file.
	Says string
	// Missing: it is as if the image had no such file.
	Missing bool
}

// Secret is what the links lead to that would lead out of the root.
const Secret = "hostile: this is the builder's"

// Kinds are all that this user can make: devices need root. A file of the
// builder with the text [Secret] has to be at secret.
func Kinds(secret string) []Kind {
	kinds := []Kind{
		{Name: "pipe", Make: node(unix.S_IFIFO, 0, 0), Says: "is a named pipe, not a regular file"},
		{Name: "socket", Make: socket, Says: "is a socket, not a regular file"},
		{Name: "directory", Make: directory, Says: "is a directory, not a regular file"},
		{Name: "sparse file of 10 TiB", Make: sparse, Says: "the most that is read"},
		{Name: "loop of links", Make: loop, Says: "is a loop of links"},
		{Name: "link to a pipe", Make: linkToPipe, Says: "is a named pipe, not a regular file"},
		{Name: "link to /dev/zero", Make: link("/dev/zero"), Says: "no such file", Missing: true},
		{Name: "link to /proc", Make: link("/proc/self/environ"), Says: "no such file", Missing: true},
		{Name: "absolute link to the builder", Make: link(secret), Says: "no such file", Missing: true},
		{Name: "relative link to the builder", Make: linkOut(secret), Says: "no such file", Missing: true},
	}
	if os.Geteuid() == 0 {
		kinds = append(kinds,
			Kind{Name: "block device", Make: node(unix.S_IFBLK, 7, 250), Says: "is a block device, not a regular file"},
			Kind{Name: "zeros without end", Make: node(unix.S_IFCHR, 1, 5), Says: "is a character device, not a regular file"},
			Kind{Name: "device of the console", Make: node(unix.S_IFCHR, 5, 1), Says: "is a character device, not a regular file"})
	}
	return kinds
}

// Plant makes a root with one kind in the place of a file, and the directories
// that it is in.
func Plant(root, name string, k Kind) error {
	path := filepath.Join(root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.RemoveAll(path)); err != nil {
		return err
	}
	if err := k.Make(root, path); err != nil {
		return fmt.Errorf("making %s at %s: %w", k.Name, name, err)
	}
	return nil
}

func node(kind, major, minor uint32) func(string, string) error {
	return func(_, path string) error { return unix.Mknod(path, kind|0o666, int(unix.Mkdev(major, minor))) }
}

func link(target string) func(string, string) error {
	return func(_, path string) error { return os.Symlink(target, path) }
}

func linkOut(secret string) func(string, string) error {
	return link("../../../../../../../../../../../../../../" + secret)
}

func loop(_, path string) error { return os.Symlink(filepath.Base(path), path) }

func linkToPipe(root, path string) error {
	err := unix.Mkfifo(filepath.Join(root, "hostile-pipe"), 0o666)
	if errors.Is(err, os.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Symlink("/hostile-pipe", path))
}

func directory(_, path string) error { return os.MkdirAll(filepath.Join(path, "full"), 0o755) }

func sparse(_, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(10<<40), f.Close())
}

// socket listens by way of a descriptor: the name of a socket may be 108 bytes
// long at most.
func socket(_, path string) error {
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: name})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}
