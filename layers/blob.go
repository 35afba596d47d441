package layers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// openLayer reads a layer's tar, whatever it is compressed with. Reading is
// buffered: each read of the store is a round trip to containerd.
func (e *Engine) openLayer(ctx context.Context, blob ocispec.Descriptor) (io.ReadCloser, error) {
	at, err := e.Store().ReaderAt(ctx, blob)
	if err != nil {
		return nil, fmt.Errorf("opening layer %s: %w", blob.Digest, e.damaged(ctx, err, blob))
	}
	tar, err := compression.DecompressStream(bufio.NewReaderSize(content.NewReader(at), writeBuffer))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading layer %s: %w", blob.Digest, e.damaged(ctx, err, blob)), at.Close())
	}
	return &checkedReader{&layerReader{tar, at}, ctx, e, blob}, nil
}

// OpenLayer reads the tar of a layer of an image that is here.
func (e *Engine) OpenLayer(ctx context.Context, blob ocispec.Descriptor) (io.ReadCloser, error) {
	return e.openLayer(e.Context(ctx), blob)
}

type layerReader struct {
	io.ReadCloser
	blob io.Closer
}

func (r *layerReader) Close() error { return errors.Join(r.ReadCloser.Close(), r.blob.Close()) }
