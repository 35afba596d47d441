package layers

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
	layerdiff "vauban/layers/diff"
)

// maxUnpacked is how many bytes all layers of an image may unpack to by default.
const maxUnpacked = 64 << 30

// bounds are what the layers of one image may unpack to. Zero fields are the
// defaults.
type bounds struct {
	bytes   int64  // of all layers. Default: 64 GiB
	room    int64  // that the disk has, in bytes. 0: not known
	entries int    // of one layer. Default: 2,000,000
	name    int    // of a path, in bytes. Default: 4096, the kernel's
	depth   int    // of a path, in directories. Default: 256
	window  uint64 // of zstd, in bytes. Default: 128 MiB, the zstd program's

	unpacked int64 // so far
	// sparse are the files of the layer that was checked last which are worth
	// holes, by name.
	sparse map[string]*layerdiff.Holes
}

func (b bounds) withDefaults() bounds {
	if b.bytes <= 0 {
		b.bytes = maxUnpacked
	}
	if b.entries <= 0 {
		b.entries = 2_000_000
	}
	if b.name <= 0 {
		b.name = 4096
	}
	if b.depth <= 0 {
		b.depth = 256
	}
	if b.window == 0 {
		b.window = 128 << 20
	}
	return b
}

// errTooMuch is the kind of error of a layer that exceeds a bound.
var errTooMuch = errors.New("the layer exceeds a bound")

// check reads a layer, compressed or not, as far as it keeps within the bounds.
// What it holds counts in full, holes of sparse files included: they are written
// as zeros.
func (b *bounds) check(ctx context.Context, blob io.Reader) error {
	plain, done, err := b.decompress(blob)
	if err != nil {
		return fmt.Errorf("decompressing the layer: %w", err)
	}
	defer done()
	b.sparse = map[string]*layerdiff.Holes{}
	counted := &countedReader{ctx: ctx, Reader: plain, left: b.left()}
	entries := tar.NewReader(counted)
	for n, held := 1, int64(0); ; n++ {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errTooMuch) {
			return b.tooLarge()
		}
		if err != nil {
			return fmt.Errorf("reading the layer: %w", err)
		}
		if n > b.entries {
			return fmt.Errorf("%w: more than %d entries", errTooMuch, b.entries)
		}
		if err := b.checkName(header); err != nil {
			return err
		}
		if header.Size > b.left()-held {
			return b.tooLarge()
		}
		held += header.Size
		if err := b.findHoles(beneath.Reader(ctx, entries), header); errors.Is(err, errTooMuch) {
			return b.tooLarge()
		} else if err != nil {
			return fmt.Errorf("reading the layer: %w", err)
		}
	}
	// What follows the end of the tar is read when it is unpacked, too.
	if _, err := io.Copy(io.Discard, counted); errors.Is(err, errTooMuch) {
		return b.tooLarge()
	} else if err != nil {
		return fmt.Errorf("reading the layer: %w", err)
	}
	b.unpacked += counted.n
	return nil
}

// findHoles looks at the content of an entry.
func (b *bounds) findHoles(content io.Reader, header *tar.Header) error {
	name := path.Clean("/" + header.Name)
	delete(b.sparse, name) // of an earlier entry
	if header.Typeflag != tar.TypeReg || header.Size < layerdiff.MinSparse {
		return nil
	}
	holes := &layerdiff.Holes{}
	if _, err := io.Copy(holes, content); err != nil {
		return err
	}
	if holes.Found() {
		b.sparse[name] = holes
	}
	return nil
}

// left is how many bytes may still be unpacked.
func (b *bounds) left() int64 {
	left := b.bytes
	if b.room > 0 {
		left = min(left, b.room)
	}
	return left - b.unpacked
}

func (b *bounds) tooLarge() error {
	if b.room > 0 && b.room < b.bytes {
		return fmt.Errorf("%w: with it the image unpacks to more than the %d MiB that the disk has: %w", errTooMuch, b.room>>20, unix.ENOSPC)
	}
	return fmt.Errorf("%w: with it the image unpacks to more than %d MiB", errTooMuch, b.bytes>>20)
}

func (b *bounds) checkName(header *tar.Header) error {
	for _, name := range []string{header.Name, header.Linkname} {
		switch {
		case len(name) > b.name:
			return fmt.Errorf("%w: a path of %d bytes, %.60q: at most %d", errTooMuch, len(name), name, b.name)
		case strings.Count(name, "/") > b.depth:
			return fmt.Errorf("%w: a path of %d directories, %.60q: at most %d", errTooMuch, strings.Count(name, "/"), name, b.depth)
		}
	}
	if header.Size < 0 {
		return fmt.Errorf("%w: %.60q has %d bytes", errTooMuch, header.Name, header.Size)
	}
	return nil
}

// decompress knows how a layer is compressed by how it begins, as containerd
// does.
func (b *bounds) decompress(blob io.Reader) (plain io.Reader, done func(), err error) {
	in := bufio.NewReaderSize(blob, 1<<20)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		out, err := gzip.NewReader(in)
		return out, func() {}, err
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte("\x2a\x4d\x18")):
		out, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(b.window))
		if err != nil {
			return nil, nil, err
		}
		return out, out.Close, nil
	}
	return in, func() {}, nil
}

// countedReader fails after the bytes that are left, and when its context ends.
type countedReader struct {
	io.Reader
	ctx     context.Context
	n, left int64
}

// Read implements io.Reader.
func (c *countedReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.Reader.Read(p)
	if c.n += int64(n); c.n > c.left {
		return 0, errTooMuch
	}
	return n, err
}

// boundedApplier unpacks layers that keep within bounds.
type boundedApplier struct {
	diff.Applier
	store  content.Provider
	bounds bounds
}

var _ diff.Applier = (*boundedApplier)(nil)

// Apply implements diff.Applier. Nothing is unpacked of a layer that exceeds a
// bound. The holes that sparse files had are made again.
func (a *boundedApplier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, options ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	blob, err := a.store.ReaderAt(ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer blob.Close()
	if err := a.bounds.check(ctx, io.NewSectionReader(blob, 0, blob.Size())); err != nil {
		return ocispec.Descriptor{}, err
	}
	applied, err := a.Applier.Apply(ctx, desc, mounts, options...)
	if err != nil {
		return applied, err
	}
	return applied, a.bounds.punch(ctx, mounts)
}

// punch makes the holes of the layer that was checked last, in the directory that
// it was unpacked to.
func (b *bounds) punch(ctx context.Context, mounts []mount.Mount) error {
	dir := writtenTo(mounts)
	if dir == "" || len(b.sparse) == 0 {
		return nil
	}
	root, err := beneath.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, holes := range b.sparse {
		file, err := root.OpenToWrite(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, beneath.ErrRefused) {
			continue // a later entry removed or replaced it
		} else if err != nil {
			return err
		}
		if err := errors.Join(holes.Punch(ctx, file), file.Close()); err != nil {
			return fmt.Errorf("%q of the layer: %w", name, err)
		}
	}
	return nil
}

// writtenTo is the directory that takes what is written to mounts of the overlayfs
// snapshotter; it has files of this layer alone.
func writtenTo(mounts []mount.Mount) string {
	if len(mounts) != 1 {
		return ""
	}
	m := mounts[0]
	if m.Type == "bind" {
		return m.Source
	}
	for _, option := range m.Options {
		if dir, ok := strings.CutPrefix(option, "upperdir="); ok {
			return dir
		}
	}
	return ""
}

// unpackBounds are the bounds of an image that is unpacked below a directory.
// Layers that this builder may write can be unpacked, too.
func unpackBounds(dir string, limits Limits) (bounds, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return bounds{}, fmt.Errorf("looking at the disk of %q: %w", dir, err)
	}
	return bounds{bytes: max(maxUnpacked, limits.LayerSize), room: int64(disk.Bavail) * disk.Bsize}.withDefaults(), nil
}

// maxDocument bounds a manifest or configuration that is read, in bytes.
const maxDocument = 8 << 20

// checkForeign refuses an image that was made elsewhere and cannot be used.
func (i Image) checkForeign() error {
	if len(i.Manifest.Layers) == 0 {
		return fmt.Errorf("image %s has no layers, so it contains no root filesystem", i.Digest())
	}
	return nil
}
