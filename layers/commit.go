package layers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"vauban/layers/diff"
)

// labelUncompressed is containerd's for a compressed blob's diffID.
const labelUncompressed = "containerd.io/uncompressed"

// writeBuffer makes few of many writes: each is a round trip to containerd.
const writeBuffer = 1 << 20

// commit stops the container and makes what it changed the top layer of a new
// image. Layer and snapshot are the same tree: what must not ship is removed
// from the upperdir before the layer is written.
func (c *Container) commit(ctx context.Context, change Change) (Image, error) {
	ctx = c.engine.Context(ctx)
	if err := c.stop(ctx); err != nil {
		return Image{}, err
	}
	if err := c.flatten(ctx); err != nil {
		return Image{}, fmt.Errorf("flattening the layer of %q: %w", c.Name(), err)
	}
	if err := c.clean(ctx); err != nil {
		return Image{}, fmt.Errorf("cleaning the layer of %q: %w", c.Name(), err)
	}
	if err := c.engine.limits.checkSizes(ctx, c.root.upper); err != nil {
		return Image{}, fmt.Errorf("writing the layer of %q: %w", c.Name(), err)
	}
	l, labels, err := c.writeLayer(ctx, change.Inspect)
	if err != nil {
		return Image{}, fmt.Errorf("writing the layer of %q: %w", c.Name(), err)
	}
	c.config.Labels = relabelled(c.config.Labels, labels)
	img, err := c.engine.addLayer(ctx, c.parent, c.config, l, change)
	if err != nil {
		return Image{}, err
	}
	// The upperdir is the unpacked layer: no need to unpack it. That it
	// exists means that the same layer was made before.
	err = c.engine.snapshots().Commit(ctx, img.ChainID().String(), c.id)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return Image{}, fmt.Errorf("committing the snapshot of %q: %w", c.Name(), err)
	}
	return img, nil
}

// clean takes out of the upperdir what is not the step's, and syncs it: the
// container's mount was volatile.
func (c *Container) clean(ctx context.Context) error {
	if err := c.reclaim(ctx); err != nil {
		return err
	}
	if err := c.root.dropTmp(); err != nil {
		return err
	}
	if c.options.Systemd {
		if err := c.dropSystemdState(); err != nil {
			return err
		}
	}
	sockets, err := c.root.clean([]string{
		"dev", "proc", "sys", "run", "tmp", "dev/pts", "dev/shm", "dev/mqueue",
		aptCache[1:], aptLists[1:],
	})
	if err != nil {
		return err
	}
	for _, path := range sockets {
		c.engine.log.Warn("leaving out a socket, which no layer can hold", "container", c.Name(), "path", path)
	}
	upper, err := os.Open(c.root.upper)
	if err != nil {
		return err
	}
	defer upper.Close()
	return unix.Syncfs(int(upper.Fd()))
}

// writeLayer reads the upperdir twice: only a layer that is not in the store
// yet is worth compressing, and hashing is cheap next to it.
func (c *Container) writeLayer(ctx context.Context, inspect Inspect) (_ layer, labels map[string]string, err error) {
	hash := digest.Canonical.Digester()
	labels, err = inspected(hash.Hash(), inspect, c.Name(), func(w io.Writer) error { return c.writeTar(ctx, w) })
	if err != nil {
		return layer{}, nil, err
	}
	if blob, ok, err := c.engine.known(ctx, hash.Digest()); err != nil || ok {
		return layer{blob, hash.Digest()}, labels, err
	}
	l, err := c.engine.storeLayer(ctx, func(w io.Writer) error { return c.writeTar(ctx, w) })
	if err == nil && l.diffID != hash.Digest() {
		err = errors.New("the upperdir changed while it was read")
	}
	return l, labels, err
}

func (c *Container) writeTar(ctx context.Context, w io.Writer) error {
	_, err := diff.WriteLayer(ctx, w, c.root.upper, diff.LayerOptions{LowerDir: c.root.hasLowerDir})
	return err
}

// hasLowerDir reports whether an opaque directory hides anything.
func (o overlay) hasLowerDir(path string) bool {
	info, _, err := o.inLower(path)
	return err == nil && info.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// known finds the compressed form of a layer that was made or pulled before.
func (e *Engine) known(ctx context.Context, diffID digest.Digest) (blob ocispec.Descriptor, ok bool, err error) {
	filter := fmt.Sprintf("labels.%q==%s", labelUncompressed, diffID)
	err = e.Store().Walk(ctx, func(info content.Info) error {
		blob, ok = ocispec.Descriptor{Digest: info.Digest, Size: info.Size}, true
		return nil
	}, filter)
	if err != nil || !ok {
		return blob, false, err
	}
	if err := e.keep(ctx, blob.Digest); err != nil {
		return blob, false, err
	}
	blob.MediaType, err = e.layerType(ctx, blob)
	if errdefs.IsNotFound(err) {
		return blob, false, nil // collected meanwhile
	}
	return blob, err == nil, err
}

// layerType reads from a layer's first bytes what it is compressed with: one
// that was pulled may be of another kind than ours.
func (e *Engine) layerType(ctx context.Context, blob ocispec.Descriptor) (string, error) {
	at, err := e.Store().ReaderAt(ctx, blob)
	if err != nil {
		return "", err
	}
	defer at.Close()
	magic := make([]byte, 10)
	n, err := at.ReadAt(magic, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	switch compression.DetectCompression(magic[:n]) {
	case compression.Gzip:
		return ocispec.MediaTypeImageLayerGzip, nil
	case compression.Zstd:
		return ocispec.MediaTypeImageLayerZstd, nil
	}
	return ocispec.MediaTypeImageLayer, nil
}

// storeLayer compresses what write writes into the content store.
func (e *Engine) storeLayer(ctx context.Context, write func(io.Writer) error) (_ layer, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream: its writer does not
	defer cancel()
	ref := "layer-" + randomID()
	w, err := content.OpenWriter(ctx, e.Store(), content.WithRef(ref))
	if err != nil {
		return layer{}, err
	}
	defer func() {
		err = errors.Join(err, w.Close())
		if err != nil {
			ctx, cancel := afterwards(ctx)
			defer cancel()
			e.Store().Abort(ctx, ref)
		}
	}()
	buffer := bufio.NewWriterSize(w, writeBuffer)
	zip := gzip.NewWriter(buffer)
	zip.ModTime = time.Unix(0, 0) // written as no date: the zero Time is not
	hash := digest.Canonical.Digester()
	if err := write(io.MultiWriter(zip, hash.Hash())); err != nil {
		return layer{}, err
	}
	if err := errors.Join(zip.Close(), buffer.Flush()); err != nil {
		return layer{}, err
	}
	status, err := w.Status()
	if err != nil {
		return layer{}, err
	}
	l := layer{
		blob:   ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: w.Digest(), Size: status.Offset},
		diffID: hash.Digest(),
	}
	err = w.Commit(ctx, status.Offset, w.Digest(), content.WithLabels(map[string]string{labelUncompressed: l.diffID.String()}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return layer{}, fmt.Errorf("storing the layer: %w", err)
	}
	return l, nil
}

// BlobPath is where the embedded containerd keeps a blob on disk, for those
// who can link it instead of copying it.
func (e *Engine) BlobPath(blob digest.Digest) (string, bool) {
	if e.daemon == nil {
		return "", false
	}
	path := filepath.Join(e.Blobs(), blob.Algorithm().String(), blob.Encoded())
	_, err := os.Stat(path)
	return path, err == nil
}
