package registry

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// readSize is how much of a blob is asked for at once: each read of a content
// store is one call to containerd, and small ones cost twice the time.
const readSize = 1 << 20

// blobLayer shows a blob of a content store, layer or configuration, to the
// client library.
type blobLayer struct {
	ctx  context.Context // Compressed has no parameter for it
	desc ocispec.Descriptor
	from content.Provider
	read atomic.Bool // the client asked for the content: it was sent
}

var _ v1.Layer = (*blobLayer)(nil)

func (l *blobLayer) Digest() (v1.Hash, error) { return v1.NewHash(l.desc.Digest.String()) }
func (l *blobLayer) Size() (int64, error)     { return l.desc.Size, nil }
func (l *blobLayer) MediaType() (types.MediaType, error) {
	return types.MediaType(l.desc.MediaType), nil
}

// Compressed is the blob as it is stored, whether or not it is compressed.
func (l *blobLayer) Compressed() (io.ReadCloser, error) {
	l.read.Store(true)
	from, err := l.from.ReaderAt(l.ctx, l.desc)
	if err != nil {
		return nil, err
	}
	section := io.NewSectionReader(from, 0, l.desc.Size)
	return struct {
		io.Reader
		io.Closer
	}{bufio.NewReaderSize(section, readSize), from}, nil
}

// A push needs neither of these.
func (l *blobLayer) DiffID() (v1.Hash, error) { return v1.Hash{}, errors.ErrUnsupported }
func (l *blobLayer) Uncompressed() (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}

// mountable lets the registry take the blob from the first of the sources
// that holds it. A source that cannot be asked is not a reason to fail.
func (r *Registry) mountable(ctx context.Context, layer *blobLayer, sources []name.Repository) v1.Layer {
	for _, source := range sources {
		if there, err := r.hasBlob(ctx, source, layer.desc); err == nil && there {
			return &remote.MountableLayer{Layer: layer, Reference: source.Digest(layer.desc.Digest.String())}
		}
	}
	return layer
}
