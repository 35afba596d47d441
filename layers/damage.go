package layers

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/damage"
	"vauban/layers/store"
)

// damaged is why blobs could not be read: their files say. When these are as
// they were written, it is err. Only the embedded containerd's are looked at.
func (e *Engine) damaged(ctx context.Context, err error, blobs ...ocispec.Descriptor) error {
	if err == nil || ctx.Err() != nil || e.daemon == nil {
		return err
	}
	var found []damage.Finding
	for _, blob := range blobs {
		if _, unknown := e.Store().Info(e.context(ctx), blob.Digest); unknown != nil {
			continue // it was never here
		}
		path := filepath.Join(e.Blobs(), blob.Digest.Algorithm().String(), blob.Digest.Encoded())
		if reason := store.CheckBlob(ctx, path, blob.Digest); reason != nil && ctx.Err() == nil {
			found = append(found, damage.Finding{Kind: damage.Blob, Path: path, Err: reason})
		}
	}
	return cmp.Or(damage.In(e.stateDir, found...), err)
}

// checkedReader says of a blob that cannot be read whether it is damaged.
type checkedReader struct {
	io.ReadCloser
	ctx    context.Context
	engine *Engine
	blob   ocispec.Descriptor
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.engine.damaged(r.ctx, err, r.blob)
	}
	return n, err
}
