//go:build integration

package robust

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobPath is where the distribution project's storage keeps a blob.
func blobPath(storage string, blob digest.Digest) string {
	return filepath.Join(storage, "blobs", blob.Algorithm().String(), blob.Encoded()[:2], blob.Encoded(), "data")
}

func readBlob(storage string, blob digest.Digest) ([]byte, error) {
	if err := checkBlob(storage, blob); err != nil {
		return nil, err
	}
	return os.ReadFile(blobPath(storage, blob))
}

// checkBlob compares a blob with its digest, again only when the file changed.
func checkBlob(storage string, blob digest.Digest) error {
	if err := blob.Validate(); err != nil {
		return err
	}
	path := blobPath(storage, blob)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	looks := fmt.Sprint(info.Size(), info.ModTime(), blob)
	if sound[path] == looks {
		return nil
	}
	got, err := digest.FromReader(f)
	if err != nil || got != blob {
		return fmt.Errorf("blob %s has the content of %s: %w", blob, got, err)
	}
	sound[path] = looks
	return nil
}

func blobsOf(manifest []byte) ([]digest.Digest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, err
	}
	all := []digest.Digest{m.Config.Digest}
	for _, layer := range m.Layers {
		all = append(all, layer.Digest)
	}
	return all, nil
}

// checkImage says whether containerd has all that an image needs, the unpacked
// root filesystem of one that is no host's included.
func checkImage(ctx context.Context, client *containerd.Client, name string) (ok bool, required, present, missing []ocispec.Descriptor, err error) {
	img, err := client.ImageService().Get(ctx, name)
	if err != nil {
		return false, nil, nil, nil, err
	}
	ok, required, present, missing, err = images.Check(ctx, client.ContentStore(), img.Target, platforms.Default())
	if err != nil || !ok {
		return ok, required, present, missing, err
	}
	if strings.Contains(name, "01:") || strings.Contains(name, "02:") {
		return true, required, present, missing, nil // a host's: unpacked when it is needed
	}
	diffIDs, err := img.RootFS(ctx, client.ContentStore(), platforms.Default())
	if err != nil {
		return false, required, present, missing, err
	}
	_, err = client.SnapshotService("overlayfs").Stat(ctx, identity.ChainID(diffIDs).String())
	return err == nil, required, present, missing, err
}
