package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"vauban/internal/durable"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// link gives a repository a blob without copying it: one that the storage has
// already, or that is a file on the same filesystem, which is hard-linked.
// Neither containerd nor the registry ever writes into such a file, they only
// make and remove names. False means that the blob must be uploaded.
//
// Reference for the layout: the package comment of pathFor in
// github.com/distribution/distribution/v3/registry/storage/paths.go.
func (e *embedded) link(repository string, desc ocispec.Descriptor, blobPath func(digest.Digest) (string, bool)) bool {
	data := e.dataPath(desc.Digest)
	if !hasSize(data, desc.Size) {
		if blobPath == nil {
			return false
		}
		source, ok := blobPath(desc.Digest)
		if !ok || !hasSize(source, desc.Size) || hardLink(source, data) != nil {
			return false
		}
	}
	entry := filepath.Join(e.root, layout, "repositories", repository, "_layers", desc.Digest.Algorithm().String(), desc.Digest.Encoded(), "link")
	return writeOnce(entry, []byte(desc.Digest)) == nil
}

// layout is where the registry keeps all, below its root.
const layout = "docker/registry/v2"

func (e *embedded) dataPath(blob digest.Digest) string {
	hex := blob.Encoded()
	return filepath.Join(e.root, layout, "blobs", blob.Algorithm().String(), hex[:2], hex, "data")
}

// holds reports whether the storage has a blob.
func (e *embedded) holds(desc ocispec.Descriptor) bool {
	return hasSize(e.dataPath(desc.Digest), desc.Size)
}

func hasSize(file string, size int64) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// hardLink makes a durable second name.
func hardLink(source, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	if err := os.Link(source, target); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.Sync(filepath.Dir(target))
}

// writeOnce writes a file whose content never changes, unless it is there.
func writeOnce(name string, data []byte) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(name, data, 0o600)
}
