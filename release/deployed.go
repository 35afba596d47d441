package release

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// maxDeployedFile bounds a file that is read of a release's conffs, and
// maxDeployed how far into one.
const (
	maxDeployedFile = 64 << 10
	maxDeployed     = 16 << 30
)

// ConffsFiles reads regular files of a host's conffs by their paths, such as
// etc/machine-id. Files that are missing or larger than 64 KiB are left out, and
// a host without conffs has none. Damaged conffs are an [ErrDamaged].
func (p *Published) ConffsFiles(ctx context.Context, host string, names ...string) (files map[string][]byte, err error) {
	entry, ok := p.Hosts[host]
	if !ok {
		return nil, nil
	}
	file := filepath.Join(p.Dir, entry.Name)
	// The tree may belong to UPLOAD_OWNER: what is checked is what is read.
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() != entry.Size {
		return nil, fmt.Errorf("reading the conffs of %q: %q: %w", host, file, ErrDamaged)
	}
	got, err := digest.SHA256.FromReader(io.LimitReader(f, entry.Size))
	if err == nil {
		err = matching(file, got, entry.File)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the conffs of %q: %w", host, err)
	}
	if files, err = tarFiles(ctx, f, names); err != nil {
		return nil, fmt.Errorf("reading the conffs of %q in %q: %w", host, file, err)
	}
	return files, nil
}

// tarFiles reads files of a compressed tar until all were found.
func tarFiles(ctx context.Context, from io.Reader, names []string) (map[string][]byte, error) {
	unpacked, err := gzip.NewReader(from)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	archive := tar.NewReader(io.LimitReader(unpacked, maxDeployed))
	for len(files) < len(names) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		name := path.Clean(header.Name)
		if header.Typeflag != tar.TypeReg || header.Size > maxDeployedFile || !slices.Contains(names, name) {
			continue
		}
		if files[name], err = io.ReadAll(archive); err != nil {
			return nil, err
		}
	}
	return files, nil
}
