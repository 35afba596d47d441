package layers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
)

// checkParent refuses an image that no container can start from, before runc
// tries: it would wait for a pipe, or say something else.
func (c *Container) checkParent() (err error) {
	if len(c.root.lower) == 1 {
		return checkUsable(c.root.lower[0])
	}
	root := filepath.Join(c.dir, "parent")
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	view := []mount.Mount{{Type: "overlay", Source: "overlay",
		Options: []string{"ro", "nodev", "nosuid", "noexec", "lowerdir=" + strings.Join(c.root.lower, ":")}}}
	if err := mount.All(view, root); err != nil {
		return fmt.Errorf("mounting %s: %w", c.parent.Digest(), err)
	}
	defer func() { err = errors.Join(err, mount.UnmountAll(root, unix.MNT_DETACH), os.Remove(root)) }()
	return checkUsable(root)
}

// checkUsable looks at what the root filesystem at dir must have: process 1 and
// the stand-ins are scripts, and runc opens the lists of users.
func checkUsable(dir string) error {
	root, err := beneath.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Stat("/bin/sh")
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return errors.New("the image has no /bin/sh: build on a base with a shell, such as Debian or Ubuntu")
	} else if err != nil {
		return err
	}
	for _, name := range []string{"/etc/passwd", "/etc/group"} {
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("the image has no usable list of users: %w", err)
		}
		f.Close()
	}
	return nil
}
