package diff

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// index applies the layers' headers to a tree. It reads all content once, for
// its digest, and keeps none.
func index(ctx context.Context, layers []Open) (*tree, error) {
	t := &tree{}
	buffer := make([]byte, copyBuffer)
	for i, open := range layers {
		if err := indexLayer(ctx, t, i, open, buffer); err != nil {
			return nil, fmt.Errorf("reading layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	return t, nil
}

func indexLayer(ctx context.Context, t *tree, layer int, open Open, buffer []byte) (err error) {
	r, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	entries := tar.NewReader(r)
	for i := 0; ; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := entries.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := apply(ctx, t, layer, i, h, entries, buffer); err != nil {
			return fmt.Errorf("applying %.100q: %w", h.Name, err)
		}
	}
}

// apply applies one entry of a layer.
func apply(ctx context.Context, t *tree, layer, entry int, h *tar.Header, content io.Reader, buffer []byte) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	p, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	dirPath, name := path.Split(p)
	dirPath = strings.TrimSuffix(dirPath, "/")
	if strings.Contains("/"+dirPath, "/"+whiteoutPrefix) {
		return errors.New("it lies beneath a whiteout")
	}
	if deleted, ok := strings.CutPrefix(name, whiteoutPrefix); ok {
		return applyMarker(t, layer, dirPath, name, deleted)
	}
	if h.Typeflag == tar.TypeLink {
		target, err := cleanName(h.Linkname)
		if err != nil {
			return err
		}
		return t.link(layer, p, target)
	}
	f := &file{layer: layer, entry: entry}
	if f.meta, err = metaOf(h); err != nil {
		return err
	}
	if f.isWhiteout() {
		return t.remove(layer, p) // what it is once overlayfs has it
	}
	if f.isRegular() {
		if err := f.digest(ctx, content, buffer); err != nil {
			return err
		}
	}
	return t.put(layer, p, f)
}

func applyMarker(t *tree, layer int, dirPath, name, deleted string) error {
	switch {
	case name == opaqueMarker:
		return t.hide(layer, dirPath)
	case strings.HasPrefix(name, aufsPrefix):
		return nil
	case deleted == "" || deleted == "." || deleted == "..":
		return errors.New("it is a whiteout without a name")
	}
	return t.remove(layer, path.Join(dirPath, deleted))
}

// digest reads the content, for its digest and its holes.
func (f *file) digest(ctx context.Context, content io.Reader, buffer []byte) error {
	hash := sha256.New()
	var holes holeFinder
	n, err := io.CopyBuffer(io.MultiWriter(hash, &holes), contextReader{ctx, content}, buffer)
	if err == nil && n != f.size {
		err = io.ErrUnexpectedEOF
	}
	hash.Sum(f.sum[:0])
	f.data = holes.extents()
	return err
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context // of one reading, which ends with it
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
