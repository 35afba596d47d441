// Package decompress undoes the compression of files from elsewhere, with a bound
// on the memory that they may take.
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Window bounds what a file may make a reader remember of what came before, in
// bytes. It is the zstd program's own bound; xz -9 needs half of it.
const Window = 128 << 20

// ErrWindow is the kind of error of a file that asks for more than [Window].
var ErrWindow = errors.New("the file needs too much memory to be decompressed")

// What files begin with.
const (
	gzipMagic = "\x1f\x8b"
	bzipMagic = "BZh"
	xzMagic   = "\xfd7zXZ\x00"
	zstdMagic = "\x28\xb5\x2f\xfd"
)

// NewReader gives what is in a file, which it knows by how it begins: gzip, bzip2,
// xz, zstd, or the file itself. Closing it does not close the file.
func NewReader(file io.Reader) (plain io.ReadCloser, isCompressed bool, err error) {
	in := bufio.NewReaderSize(file, 1<<20)
	head, err := in.Peek(len(xzMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(gzipMagic)):
		plain, err = gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte(bzipMagic)):
		plain, err = io.NopCloser(bzip2.NewReader(in)), nil
	case bytes.HasPrefix(head, []byte(xzMagic)):
		var out io.Reader
		out, err = XZ(in)
		plain = io.NopCloser(out)
	case bytes.HasPrefix(head, []byte(zstdMagic)):
		plain, err = Zstd(in)
	default:
		return io.NopCloser(in), false, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("decompressing the file: %w", err)
	}
	return plain, true, nil
}

// XZ reads an xz file.
func XZ(file io.Reader) (io.Reader, error) {
	// The library takes any window that the file names.
	return xz.NewReader(newXZWalker(file))
}

// Zstd reads a zstd file.
func Zstd(file io.Reader) (io.ReadCloser, error) {
	out, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(Window))
	if err != nil {
		return nil, err
	}
	return zstdReader{out}, nil
}

// zstdReader names the bound in its error.
type zstdReader struct{ *zstd.Decoder }

// Read implements io.Reader.
func (z zstdReader) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		err = fmt.Errorf("%w: at most %d MiB: %w", ErrWindow, Window>>20, err)
	}
	return n, err
}

// Close implements io.Closer.
func (z zstdReader) Close() error {
	z.Decoder.Close()
	return nil
}
