package diff

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Flatten makes whole what overlayfs renamed in upperdir. Of a directory of the
// layers beneath that was renamed, a mount with redirect_dir=on notes there
// what it was called, and what is in it stays where it was; no layer can say
// that, so that all of it is copied to the new name, and is opaque there. The
// old name has its whiteout already.
//
// The overlay is not mounted. Where something was renamed, and only then,
// mounted has to mount it with the same directories beneath, to call show with
// the mount point and to unmount it: the kernel knows best what is where.
func Flatten(ctx context.Context, upperdir string, mounted func(show func(root string) error) error) error {
	root, err := openRoot(upperdir)
	if err != nil {
		return fmt.Errorf("reading the upper directory: %w", err)
	}
	defer root.close()
	renamed, err := findRenamed(ctx, root, "")
	if err != nil {
		return fmt.Errorf("looking for renamed directories: %w", err)
	}
	if len(renamed) == 0 {
		return nil
	}
	err = mounted(func(root string) error {
		c := copier{ctx: ctx, root: root, links: make(map[inode]string)}
		for _, p := range renamed {
			if err := c.copyUp(p); err != nil {
				return fmt.Errorf("copying the renamed directory %q: %w", p, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range renamed {
		if err := settle(filepath.Join(upperdir, p)); err != nil {
			return fmt.Errorf("settling the renamed directory %q: %w", p, err)
		}
	}
	return nil
}

// findRenamed lists the topmost directories that overlayfs looks for elsewhere.
// One that has its name again only loses the note.
func findRenamed(ctx context.Context, d *dir, dirPath string) (renamed []string, err error) {
	entries, err := d.file.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !entry.IsDir() {
			continue
		}
		name := entry.Name()
		_, overlay, err := d.xattrs(name)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", path.Join(dirPath, name), err)
		}
		if from, ok := overlay[redirectXattr]; ok && from != name {
			renamed = append(renamed, path.Join(dirPath, name))
			continue
		} else if ok {
			if err := unix.Lremovexattr(d.path(name), redirectXattr); err != nil {
				return nil, err
			}
		}
		sub, err := d.open(name)
		if err != nil {
			return nil, err
		}
		below, err := findRenamed(ctx, sub, path.Join(dirPath, name))
		sub.close()
		if err != nil {
			return nil, err
		}
		renamed = append(renamed, below...)
	}
	slices.Sort(renamed)
	return renamed, nil
}

// copier has overlayfs copy to the upper directory what is beneath.
type copier struct {
	ctx   context.Context
	root  string           // where the overlay is mounted
	links map[inode]string // first names of files with several
}

func (c *copier) copyUp(p string) error {
	parent, err := openRoot(filepath.Join(c.root, path.Dir(p)))
	if err != nil {
		return err
	}
	defer parent.close()
	return c.entry(parent, path.Base(p), p)
}

// entry copies by setting the dates that are there, which changes nothing else
// of any kind of file. overlayfs copies each name of a file for itself: they
// are linked again.
func (c *copier) entry(d *dir, name, p string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	st, err := d.stat(name)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := c.children(d, name, p); err != nil {
			return err
		}
	} else if st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := c.links[id]; ok {
			return c.link(d, name, first)
		}
		c.links[id] = p
	}
	return d.setDates(name, &st)
}

func (c *copier) children(d *dir, name, p string) error {
	sub, err := d.open(name)
	if err != nil {
		return err
	}
	defer sub.close()
	names, err := sub.names()
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := c.entry(sub, child, path.Join(p, child)); err != nil {
			return fmt.Errorf("%q: %w", child, err)
		}
	}
	return nil
}

func (c *copier) link(d *dir, name, first string) error {
	if err := unix.Unlinkat(d.fd(), name, 0); err != nil {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, filepath.Join(c.root, first), d.fd(), name, 0)
}

// settle makes a directory, all of which is in the upper directory now, one
// that hides what is beneath. Whiteouts in it have nothing to hide any more,
// and would show.
func settle(upper string) error {
	parent, err := openRoot(filepath.Dir(upper))
	if err != nil {
		return err
	}
	defer parent.close()
	name := filepath.Base(upper)
	if err := parent.settle(name); err != nil {
		return err
	}
	return unix.Lsetxattr(parent.path(name), opaqueXattr, []byte("y"), 0)
}

func (d *dir) settle(name string) error {
	err := unix.Lremovexattr(d.path(name), redirectXattr)
	if err != nil && !errors.Is(err, unix.ENODATA) {
		return err
	}
	st, err := d.stat(name)
	if err != nil {
		return err
	}
	sub, err := d.open(name)
	if err != nil {
		return err
	}
	defer sub.close()
	names, err := sub.names()
	if err != nil {
		return err
	}
	for _, child := range names {
		st, err := sub.stat(child)
		switch {
		case err != nil:
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			err = sub.settle(child)
		case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0:
			err = unix.Unlinkat(sub.fd(), child, 0)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", child, err)
		}
	}
	return d.setDates(name, &st)
}

func (d *dir) setDates(name string, st *unix.Stat_t) error {
	return unix.UtimesNanoAt(d.fd(), name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}
