package diff

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
)

// Open opens a layer: an uncompressed tar. It may be called more than once.
type Open func() (io.ReadCloser, error)

// MergeOptions say what a difference leaves out.
type MergeOptions struct {
	// Exclude lists patterns of paths, relative to the root, that are left
	// out besides [DefaultExcludes], with all that is beneath them: * and ?
	// within a name, ** for any number of names.
	Exclude []string
}

// Merge writes what layers, from the bottom up, change in the mounted root
// filesystem root: one tar that GNU tar unpacks (-p --numeric-owner --xattrs
// --xattrs-include='*') into a directory which overlayfs then stacks over
// root. The result shows what root with all the layers would show, but for
// what is excluded, and for the mtimes of what is dropped.
//
// It is minimal: what differs from root in nothing but the mtime is dropped,
// so are deletions of what root does not have, and directories without any
// change in or under them. A file whose other names are dropped is a file of
// its own. The same layers give the same bytes.
//
// No content is held in memory. Every layer is read twice, the second time all
// at once; out-of-order layers, which [WriteLayer] does not write, more often.
// root is only read, and nothing outside it.
func Merge(ctx context.Context, w io.Writer, root string, layers []Open, o MergeOptions) (report Report, err error) {
	exclude, err := ParseGlobs(append(DefaultExcludes(), o.Exclude...))
	if err != nil {
		return report, err
	}
	t, err := index(ctx, layers)
	if err != nil {
		return report, err
	}
	top, err := openRoot(root)
	if err != nil {
		return report, fmt.Errorf("reading the root filesystem: %w", err)
	}
	defer top.close()
	b, err := lookBelow(top, ".")
	if err != nil {
		return report, fmt.Errorf("reading the root filesystem %q: %w", root, err)
	}
	p := planner{ctx: ctx, exclude: exclude, buffer: make([]byte, copyBuffer)}
	if _, err := p.plan(&t.root, b, "", false); err != nil {
		return report, err
	}
	m := newMerger(ctx, w, layers)
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.root(&t.root, b.meta); err != nil {
		return m.report, err
	}
	m.report.finish()
	return m.report, m.tar.Close()
}

// merger writes a planned tree.
type merger struct {
	ctx    context.Context
	tar    *tar.Writer
	sparse sparseWriter
	layers []layerReader
	buffer []byte
	report Report
}

func newMerger(ctx context.Context, w io.Writer, layers []Open) *merger {
	m := &merger{ctx: ctx, tar: tar.NewWriter(w), buffer: make([]byte, copyBuffer)}
	m.sparse = sparseWriter{out: w, tar: m.tar, buffer: m.buffer}
	for _, open := range layers {
		m.layers = append(m.layers, layerReader{open: open})
	}
	return m
}

func (m *merger) close() (err error) {
	for i := range m.layers {
		err = errors.Join(err, m.layers[i].close())
	}
	return err
}

// root writes the root directory's entry only where a layer changed its
// metadata: the directory that the tar is unpacked into has its own.
func (m *merger) root(n *node, b *meta) error {
	if n.file != nil && !b.same(&n.own) {
		m.report.Directories++
		if err := m.header(&n.own, "."); err != nil {
			return err
		}
	}
	return m.children(n, "")
}

func (m *merger) children(n *node, dirPath string) error {
	for _, name := range n.sorted(n.gone...) {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		p := path.Join(dirPath, name)
		child := n.children[name]
		var err error
		switch {
		case child == nil, child.write && child.deleted:
			err = m.deletion(p)
		case !child.write:
		case child.isDir():
			err = m.directory(child, p)
		default:
			err = m.file(child, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) deletion(p string) error {
	m.report.Deletions++
	m.report.see(p)
	w := whiteout()
	return m.header(&w, p)
}

func (m *merger) directory(n *node, p string) error {
	m.report.Directories++
	h := gnuHeader(&n.own, p)
	if n.opaque {
		m.report.Opaque++
		setRecord(h, paxXattr+opaqueXattr, "y")
	}
	if err := m.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("writing %q: %w", p, err)
	}
	return m.children(n, p)
}

func (m *merger) file(n *node, p string) error {
	f := n.file
	m.report.see(p)
	if f.written != "" {
		m.report.Links++
		return m.header(&meta{kind: tar.TypeLink, mode: f.mode, uid: f.uid, gid: f.gid, mtime: f.mtime, target: f.written}, p)
	}
	f.written = p
	m.report.Files++
	if !f.isRegular() {
		return m.header(&f.meta, p)
	}
	m.report.add(File{p, f.size}, n.metadataOnly)
	return m.regular(f, p)
}

func (m *merger) regular(f *file, p string) error {
	r, err := m.layers[f.layer].content(f)
	if err != nil {
		return fmt.Errorf("reading %q: %w", p, err)
	}
	content := contextReader{m.ctx, r}
	if m.sparse.canWrite(f.data) {
		err = m.sparse.write(&f.meta, p, f.data, content)
	} else if err = m.header(&f.meta, p); err == nil {
		_, err = io.CopyBuffer(m.tar, content, m.buffer)
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", p, err)
	}
	return nil
}

func (m *merger) header(x *meta, p string) error {
	if err := m.tar.WriteHeader(gnuHeader(x, p)); err != nil {
		return fmt.Errorf("writing the header of %q: %w", p, err)
	}
	return nil
}

// layerReader finds files in a layer. It goes forward as long as it can.
type layerReader struct {
	open  Open
	file  io.ReadCloser
	tar   *tar.Reader
	entry int // the next
}

func (l *layerReader) close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// content returns the content of a regular file, to be read before the next
// call.
func (l *layerReader) content(f *file) (io.Reader, error) {
	if l.file != nil && l.entry > f.entry {
		if err := l.close(); err != nil {
			return nil, err
		}
	}
	if l.file == nil {
		file, err := l.open()
		if err != nil {
			return nil, err
		}
		l.file, l.tar, l.entry = file, tar.NewReader(file), 0
	}
	for {
		h, err := l.tar.Next()
		if err != nil {
			return nil, err
		}
		l.entry++
		if l.entry > f.entry {
			if h.Size != f.size {
				return nil, errChanged
			}
			return l.tar, nil
		}
	}
}
