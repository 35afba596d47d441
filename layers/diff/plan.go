package diff

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// decision is what comparing a node with the root came to.
type decision struct {
	write  bool
	own    meta     // of a directory
	opaque bool     // of a directory: hide what the root has in it
	gone   []string // of a directory: names to delete that the layers don't have
	// metadataOnly: the root has a file with the same content.
	metadataOnly bool
}

// largeMetadata is the size in bytes from which a file that is written only
// for its metadata is reported.
const largeMetadata = 1 << 20

// mergedUsr matches what is a link into /usr on today's systems. A directory
// in its place would hide half the system at boot.
var mergedUsr = regexp.MustCompile(`^(bin|sbin|lib[^/]*)$`)

// planner decides what of a tree has to be written over a root.
type planner struct {
	ctx     context.Context
	exclude Globs
	buffer  []byte
}

// below is what the root has at a name.
type below struct {
	parent *dir // nil: nothing shows through
	name   string
	st     unix.Stat_t
	meta   *meta // nil: nothing there
}

func lookBelow(parent *dir, name string) (below, error) {
	b := below{parent: parent, name: name}
	if parent == nil {
		return b, nil
	}
	st, err := parent.stat(name)
	if errors.Is(err, unix.ENOENT) {
		return b, nil
	} else if err != nil {
		return b, err
	}
	m, _, err := parent.meta(name, &st)
	b.st, b.meta = st, &m
	return b, err
}

func (b below) isDir() bool { return b.meta != nil && b.meta.isDir() }

// plan decides on a node and what is under it. hidden says that a directory
// above hides the root, though b shows it: to find out what would be gained
// by showing it. The result reports whether a file was dropped because the root
// has it.
func (p *planner) plan(n *node, b below, nodePath string, hidden bool) (dropped bool, err error) {
	n.decision = decision{}
	if err := p.ctx.Err(); err != nil {
		return false, err
	}
	switch {
	case nodePath != "" && p.exclude.Match(nodePath):
		return false, nil
	case n.deleted:
		n.write = b.meta != nil
		return false, nil
	case n.isDir():
		return p.directory(n, b, nodePath, hidden)
	}
	if dropped, err = p.file(n, b); err != nil {
		err = fmt.Errorf("comparing %q: %w", nodePath, err)
	}
	return dropped, err
}

// file drops a file that differs from the root's in nothing but its mtime.
func (p *planner) file(n *node, b below) (dropped bool, err error) {
	n.write = true
	f := n.file
	if b.meta == nil || b.meta.kind != f.kind || b.meta.size != f.size {
		return false, nil
	}
	same := b.meta.same(&f.meta)
	if f.isRegular() && (same || f.size > largeMetadata) {
		sum, err := p.sum(b)
		if err != nil {
			return false, err
		}
		n.metadataOnly = sum == f.sum && !same
		same = sum == f.sum && same
	}
	n.write = !same
	return same, nil
}

func (p *planner) sum(b below) (sum [sha256.Size]byte, err error) {
	r, err := b.parent.content(p.ctx, b.name, &b.st)
	if err != nil {
		return sum, err
	}
	defer r.Close()
	hash := sha256.New()
	_, err = io.CopyBuffer(hash, r, p.buffer)
	hash.Sum(sum[:0])
	return sum, err
}

func (p *planner) directory(n *node, b below, nodePath string, hidden bool) (dropped bool, err error) {
	if err := checkLink(n, b, nodePath, hidden); err != nil {
		return false, fmt.Errorf("laying %q over the root filesystem: %w", nodePath, err)
	}
	n.own = defaultDir()
	if n.file != nil {
		n.own = n.file.meta
	} else if b.isDir() {
		n.own = *b.meta
	}
	n.write = !b.isDir() || !b.meta.same(&n.own)
	if !b.isDir() {
		_, err := p.children(n, nil, nodePath, false)
		return false, err
	}
	sub, err := b.parent.open(b.name)
	if err != nil {
		return false, fmt.Errorf("reading %q in the root filesystem: %w", nodePath, err)
	}
	defer sub.close()
	hidden = hidden || n.hides
	dropped, err = p.children(n, sub, nodePath, hidden)
	if err != nil || !hidden {
		return dropped, err
	}
	// The directory was made again. Deleting one by one what the root has more
	// pays where files came back as they were. The root directory itself
	// cannot be opaque.
	if dropped || nodePath == "" {
		return dropped, p.deleteRest(n, sub, nodePath)
	}
	n.write, n.opaque = true, true
	_, err = p.children(n, nil, nodePath, false)
	return false, err
}

// checkLink refuses a directory where the root has a link to one, if it
// cannot be meant.
func checkLink(n *node, b below, nodePath string, hidden bool) error {
	if b.meta == nil || b.meta.isDir() {
		return nil
	}
	if b.meta.kind == tar.TypeSymlink && mergedUsr.MatchString(nodePath) {
		return fmt.Errorf("the layers have a directory where the root filesystem has a link to %q, and would hide it: put the files there instead", b.meta.target)
	}
	if n.file == nil && !n.hides && !hidden {
		return errors.New("the layers have files beneath it, but it is not a directory in the root filesystem")
	}
	return nil
}

func (p *planner) children(n *node, d *dir, nodePath string, hidden bool) (dropped bool, err error) {
	for name, child := range n.children {
		b, err := lookBelow(d, name)
		if err != nil {
			return false, fmt.Errorf("reading %q in the root filesystem: %w", path.Join(nodePath, name), err)
		}
		one, err := p.plan(child, b, path.Join(nodePath, name), hidden)
		if err != nil {
			return false, err
		}
		dropped = dropped || one
		n.write = n.write || child.write
	}
	return dropped, nil
}

// deleteRest deletes what the root has in a directory and the layers have not.
func (p *planner) deleteRest(n *node, d *dir, nodePath string) error {
	names, err := d.names()
	if err != nil {
		return fmt.Errorf("reading %q in the root filesystem: %w", nodePath, err)
	}
	n.gone = slices.DeleteFunc(names, func(name string) bool {
		_, ok := n.children[name]
		return ok || p.exclude.Match(path.Join(nodePath, name))
	})
	n.write = n.write || len(n.gone) > 0
	return nil
}
