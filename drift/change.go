package drift

import (
	"archive/tar"
	"fmt"
	"io/fs"
)

// Kinds of changes.
const (
	Added    = "added"    // it was not there
	Changed  = "changed"  // its content or type is another one
	Metadata = "metadata" // its owner, mode or attributes are others
	Deleted  = "deleted"
	Opaque   = "opaque" // the directory was made anew: what was in it is gone
	Moved    = "moved"  // the directory is From, renamed: what was in it is there still
)

// A Change is one path that a machine has otherwise than what it booted.
type Change struct {
	Path string `json:"path"` // absolute
	Kind string `json:"kind"`
	Type string `json:"type,omitempty"` // file, directory, link or other; of what is there now
	Mode string `json:"mode,omitempty"`
	// Owner is UID:GID.
	Owner string `json:"owner,omitempty"`
	Size  int64  `json:"size"` // bytes of a file
	// Target of a link, symbolic or hard.
	Target string `json:"target,omitempty"`
	// From is what a directory that was moved was called.
	From string `json:"from,omitempty"`
	// Diff of a text that everybody may read.
	Diff string `json:"diff,omitempty"`
}

func newChange(path, kind string, h *tar.Header) Change {
	c := Change{Path: "/" + path, Kind: kind}
	if kind == Deleted {
		return c
	}
	c.Type, c.Mode, c.Owner = TypeOf(h), h.FileInfo().Mode().String(), fmt.Sprintf("%d:%d", h.Uid, h.Gid)
	switch h.Typeflag {
	case tar.TypeReg:
		c.Size = h.Size
	case tar.TypeSymlink:
		c.Target = h.Linkname
	}
	return c
}

// TypeOf names what an entry is: file, directory, link or other.
func TypeOf(h *tar.Header) string {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeLink:
		return "file"
	case tar.TypeDir:
		return "directory"
	case tar.TypeSymlink:
		return "link"
	}
	return "other"
}

// sameType reports whether a file before is of an entry's type.
func sameType(before fs.FileInfo, h *tar.Header) bool {
	return before.Mode().Type() == h.FileInfo().Mode().Type()
}
