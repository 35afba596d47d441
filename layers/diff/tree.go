package diff

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxPath is how long a path may be, in bytes, for a program to open it.
const maxPath = 4095

// tree is what layers, applied one after the other, leave to lay over a root
// filesystem.
type tree struct {
	root node
}

// node is a name in the tree. It is one of three: what a layer put there
// (file), a deletion, or a directory that nobody described and that only
// leads to its children.
type node struct {
	children map[string]*node
	file     *file
	deleted  bool
	layer    int // which put the file or deleted it
	// hides: nothing of what the root has at this name, or beneath it, shows
	// through. It stays true whatever later layers put here.
	hides bool

	decision
}

// file is a file that a layer brought. Hard links share one.
type file struct {
	meta
	layer, entry int               // where its content is
	sum          [sha256.Size]byte // of the content of a regular file
	data         []extent          // the parts of the content that are not zeros; nil: all
	written      string            // the first name it was written under
}

func (n *node) isDir() bool {
	return !n.deleted && (n.file == nil || n.file.isDir())
}

// sorted lists the children's names, and others, in the order of their bytes.
func (n *node) sorted(others ...string) []string {
	names := slices.Clone(others)
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// reach finds the node of a path and makes what leads there.
func (t *tree) reach(p string) (*node, error) {
	n := &t.root
	if p == "" {
		return n, nil
	}
	for name := range strings.SplitSeq(p, "/") {
		if n.file != nil && !n.file.isDir() {
			return nil, fmt.Errorf("the layers hold something that is not a directory above %q", p)
		}
		n.deleted = false
		child := n.children[name]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			n.children[name] = child
		}
		n = child
	}
	return n, nil
}

// find looks a file up. It is nil where no layer put one.
func (t *tree) find(p string) *file {
	n := &t.root
	for name := range strings.SplitSeq(p, "/") {
		if n = n.children[name]; n == nil {
			return nil
		}
	}
	return n.file
}

// put applies a layer's entry.
func (t *tree) put(layer int, p string, f *file) error {
	if p == "" && !f.isDir() {
		return errors.New("a layer replaces the root directory")
	}
	n, err := t.reach(p)
	if err != nil {
		return err
	}
	if !f.isDir() {
		n.children, n.hides = nil, true
	}
	n.file, n.layer, n.deleted = f, layer, false
	return nil
}

// link applies a hard link. Its target is in the same layer or one beneath:
// overlayfs copies a file up before it gives it another name.
func (t *tree) link(layer int, p, target string) error {
	f := t.find(target)
	if f == nil || f.isDir() {
		return fmt.Errorf("%q is a hard link to %q, which is not a file of the layers", p, target)
	}
	return t.put(layer, p, f)
}

// remove applies a whiteout: it deletes what the layers beneath have, not
// what its own layer puts at the same name.
func (t *tree) remove(layer int, p string) error {
	n, err := t.reach(p)
	if err != nil {
		return err
	}
	n.hides = true
	n.forget(layer)
	if n.file == nil && len(n.children) == 0 {
		n.deleted, n.layer = true, layer
	}
	return nil
}

// hide applies an opaque marker.
func (t *tree) hide(layer int, p string) error {
	n, err := t.reach(p)
	if err != nil {
		return err
	}
	if n.file != nil && !n.file.isDir() {
		return fmt.Errorf("the opaque directory %q is a file in the layers", p)
	}
	n.hides, n.deleted = true, false
	n.forgetBelow(layer)
	return nil
}

// forget drops what layers beneath this one put at and under a node.
func (n *node) forget(layer int) {
	if n.file != nil && n.layer < layer {
		n.file = nil
	}
	n.forgetBelow(layer)
}

func (n *node) forgetBelow(layer int) {
	for name, child := range n.children {
		child.forget(layer)
		if child.file == nil && len(child.children) == 0 {
			delete(n.children, name)
		}
	}
}

// cleanName makes an entry's name a path relative to the root, "" for the
// root itself.
func cleanName(name string) (string, error) {
	if len(name) > maxPath {
		return "", fmt.Errorf("the name %.40q… is longer than the %d bytes of a path", name, maxPath)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || strings.Contains(part, "\x00") {
			return "", fmt.Errorf("the name %q leaves the root or is malformed", name)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}
