package diff

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// LayerOptions say how a layer is written.
type LayerOptions struct {
	// LowerDir reports whether the layers beneath have a directory at path,
	// which is relative to the root. overlayfs marks every new directory
	// opaque; only where this is true does the mark hide anything and become
	// part of the layer. nil means everywhere.
	LowerDir func(path string) bool
}

// Stats counts what a layer holds.
type Stats struct {
	Entries   int   // of the tar, whiteouts and markers among them
	Bytes     int64 // of content, holes included
	Whiteouts int
	Opaque    int // directories
}

// copyBuffer is the memory for content in transit, in bytes.
const copyBuffer = 256 << 10

// WriteLayer writes upperdir, the writable directory of an overlay mount that
// is no longer mounted, as an uncompressed OCI layer. What was renamed in it is
// flattened before, see [Flatten]. The same upperdir gives
// the same bytes. It filters nothing: what a tar cannot hold, a socket or a
// name that would be taken for a whiteout, is an error that names the path.
//
// Sparse files are written with their holes as zeros, which compress to a
// thousandth: OCI advises against sparse entries, as readers differ in them.
// An extended attribute that a stage removes from a directory of the layers
// beneath comes back where others unpack the layer: OCI can add, not remove.
//
// The root directory's own metadata is written only when it is not root's
// 0755: containerd ignores that entry, and its mtime would give every empty
// layer another digest.
func WriteLayer(ctx context.Context, w io.Writer, upperdir string, o LayerOptions) (Stats, error) {
	l := &layerWriter{
		ctx:    ctx,
		tar:    tar.NewWriter(w),
		lower:  o.LowerDir,
		links:  make(map[inode]string),
		buffer: make([]byte, copyBuffer),
	}
	if l.lower == nil {
		l.lower = func(string) bool { return true }
	}
	root, err := openRoot(upperdir)
	if err != nil {
		return l.stats, fmt.Errorf("reading the upper directory: %w", err)
	}
	defer root.close()
	if err := l.root(root); err != nil {
		return l.stats, fmt.Errorf("reading %q: %w", upperdir, err)
	}
	if err := l.children(root, "", false); err != nil {
		return l.stats, err
	}
	return l.stats, l.tar.Close()
}

type inode struct{ dev, ino uint64 }

type layerWriter struct {
	ctx    context.Context
	tar    *tar.Writer
	lower  func(path string) bool
	links  map[inode]string // first names of files with several
	buffer []byte
	stats  Stats
}

func (l *layerWriter) root(root *dir) error {
	st, err := root.stat(".")
	if err != nil {
		return err
	}
	m, _, err := root.meta(".", &st)
	if err != nil {
		return err
	}
	if m.mode == 0o755 && m.uid == 0 && m.gid == 0 && len(m.xattrs) == 0 {
		return nil
	}
	return l.write(&m, ".")
}

// children writes what a directory holds. inherit says that it has default
// access control lists.
func (l *layerWriter) children(d *dir, dirPath string, inherit bool) error {
	names, err := d.names()
	if err != nil {
		return fmt.Errorf("reading %q: %w", dirPath, err)
	}
	for _, name := range names {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if err := l.entry(d, name, path.Join(dirPath, name), inherit); err != nil {
			return err
		}
	}
	return nil
}

func (l *layerWriter) entry(d *dir, name, path string, inherit bool) error {
	if strings.HasPrefix(name, whiteoutPrefix) {
		return fmt.Errorf("the layer cannot hold %q: a name beginning with %q means a deletion there; rename or remove the file", path, whiteoutPrefix)
	}
	st, err := d.stat(name)
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	m, overlay, err := d.meta(name, &st)
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	if m.isWhiteout() {
		return l.marker(path, name)
	}
	if err := check(&m, overlay); err != nil {
		return fmt.Errorf("the layer cannot hold %q: %w", path, err)
	}
	if m.isDir() {
		return l.directory(d, name, path, &m, overlay[opaqueXattr] != "", inherit)
	}
	if inherit {
		uninherit(&m)
	}
	if st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := l.links[id]; ok {
			// With all metadata: who changes the owner of a link, as
			// containerd does, loses the file's capabilities.
			m.kind, m.size, m.target = tar.TypeLink, 0, first
			return l.write(&m, path)
		}
		l.links[id] = path
	}
	if err := l.write(&m, path); err != nil {
		return err
	}
	if m.isRegular() {
		return l.content(d, name, path, &st)
	}
	return nil
}

// check refuses what a layer cannot express.
func check(m *meta, overlay map[string]string) error {
	if m.kind == kindSocket {
		return errors.New("it is a socket, which tar does not know; remove it before the layer is written")
	}
	for _, name := range []string{redirectXattr, metacopyXattr} {
		if _, ok := overlay[name]; ok {
			return fmt.Errorf("overlayfs moved or shortened it (%s); mount with metacopy=off, and flatten what was renamed", name)
		}
	}
	if value, ok := overlay[opaqueXattr]; ok && value != "y" {
		return fmt.Errorf("overlayfs marked it with %s=%q, and only %q is known", opaqueXattr, value, "y")
	}
	for name := range m.xattrs {
		if strings.Contains(name, "=") {
			return fmt.Errorf("its extended attribute %q has a = in the name, which PAX cannot hold", name)
		}
	}
	return nil
}

func (l *layerWriter) directory(d *dir, name, path string, m *meta, opaque, inherit bool) error {
	opaque = opaque && l.lower(path)
	_, bequeaths := m.xattrs[defaultACL]
	if inherit || opaque {
		uninherit(m) // an unpacker lets an opaque directory have its old lists
	}
	if err := l.write(m, path); err != nil {
		return err
	}
	if opaque {
		l.stats.Opaque++
		if err := l.write(&meta{kind: tar.TypeReg}, path+"/"+opaqueMarker); err != nil {
			return err
		}
	}
	sub, err := d.open(name)
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	defer sub.close()
	return l.children(sub, path, bequeaths)
}

// marker deletes name from the layers beneath.
func (l *layerWriter) marker(p, name string) error {
	l.stats.Whiteouts++
	return l.write(&meta{kind: tar.TypeReg}, path.Join(path.Dir(p), whiteoutPrefix+name))
}

func (l *layerWriter) write(m *meta, path string) error {
	l.stats.Entries++
	if err := l.tar.WriteHeader(m.header(path)); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

func (l *layerWriter) content(d *dir, name, path string, st *unix.Stat_t) error {
	r, err := d.content(l.ctx, name, st)
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	defer r.Close()
	n, err := io.CopyBuffer(l.tar, r, l.buffer)
	l.stats.Bytes += n
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}
