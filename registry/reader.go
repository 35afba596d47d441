package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// blobReader reads a blob over HTTP from any offset on. The request is made
// by the first Read, when the offset is known.
type blobReader struct {
	ctx    context.Context
	client *http.Client
	url    string
	size   int64 // of the blob: more is not read
	offset int64
	body   io.ReadCloser
}

// Seek chooses where reading starts, counted from the beginning only.
func (b *blobReader) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset < 0 {
		return b.offset, errors.ErrUnsupported
	}
	b.Close()
	b.offset = offset
	return offset, nil
}

// Read implements io.Reader.
func (b *blobReader) Read(p []byte) (int, error) {
	if b.body == nil {
		if b.offset > 0 && b.offset >= b.size {
			return 0, io.EOF // servers answer 416 when nothing is left
		}
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	n, err := b.body.Read(p)
	if b.offset += int64(n); b.offset > b.size {
		return 0, fmt.Errorf("%w: the blob is longer than the %d bytes of its manifest", errBadContent, b.size)
	}
	return n, err
}

// Close ends the request; reading goes on with another.
func (b *blobReader) Close() error {
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.body = nil
	return err
}

// open asks for the rest of the blob. A registry may send all of it instead.
// Reference: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-blobs
func (b *blobReader) open() error {
	request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, b.url, nil)
	if err != nil {
		return err
	}
	if b.offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", b.offset))
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	if err := transport.CheckError(response, http.StatusOK, http.StatusPartialContent); err != nil {
		response.Body.Close()
		return err
	}
	if response.StatusCode == http.StatusPartialContent &&
		!strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", b.offset)) {
		response.Body.Close()
		return fmt.Errorf("%w: the answer is another part of the blob, %.50q", errBadContent, response.Header.Get("Content-Range"))
	}
	b.body = response.Body
	if response.StatusCode == http.StatusOK && b.offset > 0 {
		_, err = io.CopyN(io.Discard, b.body, b.offset)
	}
	return err
}
