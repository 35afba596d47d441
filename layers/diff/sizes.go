package diff

import (
	"context"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// SizeLimits are how many bytes a layer may hold, holes of sparse files
// included: they are written as zeros.
type SizeLimits struct {
	File  int64 // of one file
	Layer int64 // of all files
}

// SizeError is the error of files that exceed a limit.
type SizeError struct {
	// Path is the file that exceeds SizeLimits.File, else the largest one.
	Path         string
	Size, OnDisk int64 // of that file, with and without its holes
	// Total is what all files have, where it exceeds SizeLimits.Layer; else 0.
	Total int64
}

// Error implements error.
func (e *SizeError) Error() string {
	if e.Total > 0 {
		return fmt.Sprintf("the files have %d bytes, the largest is %q with %d (%d on disk)", e.Total, e.Path, e.Size, e.OnDisk)
	}
	return fmt.Sprintf("%q has %d bytes (%d on disk)", e.Path, e.Size, e.OnDisk)
}

// CheckSizes looks at the sizes of what [WriteLayer] would read and reads no
// content. It returns a [SizeError] for what exceeds a limit.
func CheckSizes(ctx context.Context, upperdir string, limits SizeLimits) error {
	root, err := openRoot(upperdir)
	if err != nil {
		return fmt.Errorf("reading the upper directory: %w", err)
	}
	defer root.close()
	c := sizeChecker{ctx: ctx, limits: limits, links: make(map[inode]bool)}
	if err := c.children(root, ""); err != nil {
		return err
	}
	if c.total > limits.Layer {
		c.largest.Total = c.total
		return &c.largest
	}
	return nil
}

type sizeChecker struct {
	ctx     context.Context
	limits  SizeLimits
	links   map[inode]bool // files with several names, which are written once
	total   int64
	largest SizeError
}

func (c *sizeChecker) children(d *dir, dirPath string) error {
	names, err := d.names()
	if err != nil {
		return fmt.Errorf("reading %q: %w", dirPath, err)
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.entry(d, name, path.Join(dirPath, name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *sizeChecker) entry(d *dir, name, path string) error {
	st, err := d.stat(name)
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		sub, err := d.open(name)
		if err != nil {
			return fmt.Errorf("reading %q: %w", path, err)
		}
		defer sub.close()
		return c.children(sub, path)
	case unix.S_IFREG:
		return c.file(path, &st)
	}
	return nil
}

func (c *sizeChecker) file(path string, st *unix.Stat_t) error {
	const blockSize = 512 // of Stat_t, whatever the filesystem's is
	id := inode{st.Dev, st.Ino}
	if c.links[id] {
		return nil
	}
	if st.Nlink > 1 {
		c.links[id] = true
	}
	if c.total += st.Size; c.total < 0 {
		c.total = 1<<63 - 1
	}
	if st.Size > c.largest.Size {
		c.largest = SizeError{Path: path, Size: st.Size, OnDisk: st.Blocks * blockSize}
	}
	if st.Size > c.limits.File {
		return &c.largest
	}
	return nil
}
