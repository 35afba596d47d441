package dockerfile

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"

	"vauban/internal/decompress"
)

// isArchive tells a tar archive, compressed or not, from any other file.
func isArchive(open func() (fs.File, error)) (bool, error) {
	f, err := open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	plain, _, err := decompress.NewReader(f)
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
		plain, _, err := decompress.NewReader(f)
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
