package layers

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// decompress undoes the compressions that ADD knows, by a file's first bytes.
func decompress(r io.Reader) (io.ReadCloser, error) {
	buffer := bufio.NewReader(r)
	start, err := buffer.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		return gzip.NewReader(buffer)
	case bytes.HasPrefix(start, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(buffer)), nil
	case bytes.HasPrefix(start, []byte("\xfd7zXZ\x00")):
		plain, err := xz.NewReader(buffer)
		return io.NopCloser(plain), err
	case bytes.HasPrefix(start, []byte("\x28\xb5\x2f\xfd")):
		plain, err := zstd.NewReader(buffer, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return plain.IOReadCloser(), nil
	}
	return io.NopCloser(buffer), nil
}

// isArchive tells a tar archive, compressed or not, from any other file.
func isArchive(open func() (fs.File, error)) (bool, error) {
	f, err := open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	plain, err := decompress(f)
	if err != nil {
		return false, nil // it only begins like a compressed file
	}
	defer plain.Close()
	_, err = tar.NewReader(plain).Next()
	return err == nil, nil
}

// archiveSource is what is in an archive.
func archiveSource(ctx context.Context, name string, open func() (fs.File, error)) copySource {
	return copySource{name: name, dir: true, walk: func(visit func(treeEntry) error) error {
		f, err := open()
		if err != nil {
			return err
		}
		defer f.Close()
		plain, err := decompress(f)
		if err != nil {
			return err
		}
		defer plain.Close()
		return walkArchive(ctx, tar.NewReader(plain), visit)
	}}
}

func walkArchive(ctx context.Context, archive *tar.Reader, visit func(treeEntry) error) error {
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e, ok := tarEntry(header, archive); ok {
			if err := visit(e); err != nil {
				return err
			}
		}
	}
}
