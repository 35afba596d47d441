package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"vauban/internal/beneath"
	"vauban/internal/damage"
)

// parallel is how many blobs are read at a time.
const parallel = 2

// blobs reads all blobs that the metadata or the disk has.
func (s Store) blobs(ctx context.Context) ([]damage.Finding, error) {
	onDisk, err := names(s.path(blobsDir))
	if err != nil {
		return nil, err
	}
	known, err := s.knownBlobs()
	if err != nil {
		return nil, err
	}
	all := append(onDisk, known...)
	slices.Sort(all)
	var mu sync.Mutex
	var found []damage.Finding
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, hex := range slices.Compact(all) {
		group.Go(func() error {
			err := CheckBlob(ctx, s.blobPath(hex), digest.NewDigestFromEncoded(digest.SHA256, hex))
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				found = append(found, damage.Finding{Kind: damage.Blob, Path: s.blobPath(hex), Err: err,
					Remove: func() error { return s.removeBlob(hex) }})
			}
			return nil
		})
	}
	return found, group.Wait()
}

func (s Store) blobPath(hex string) string { return filepath.Join(s.path(blobsDir), hex) }

// CheckBlob compares a file with its digest.
func CheckBlob(ctx context.Context, path string, want digest.Digest) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is missing")
	} else if err != nil {
		return err
	}
	defer f.Close()
	got, err := want.Algorithm().FromReader(beneath.Reader(ctx, f))
	if err == nil && got != want {
		return fmt.Errorf("its digest is %s", got)
	}
	return err
}

// knownBlobs are those that the metadata has.
func (s Store) knownBlobs() (hexes []string, err error) {
	err = view(s.path(metadataDB), func(tx *bolt.Tx) error {
		for _, namespace := range keys(bucket(tx, schema)) {
			for _, blob := range keys(bucket(tx, schema, namespace, "content", "blob")) {
				if d := digest.Digest(blob); d.Validate() == nil && d.Algorithm() == digest.SHA256 {
					hexes = append(hexes, d.Encoded())
				}
			}
		}
		return nil
	})
	return hexes, err
}

// removeBlob removes a blob and the manifests that name it, from the disk and
// from the metadata, and the names of images that would be incomplete.
func (s Store) removeBlob(hex string) error {
	gone := map[string]bool{string(digest.NewDigestFromEncoded(digest.SHA256, hex)): true}
	empty, err := isEmpty(s.path(metadataDB))
	if err == nil && !empty {
		err = change(s.path(metadataDB), func(tx *bolt.Tx) error {
			for _, namespace := range keys(bucket(tx, schema)) {
				if err := s.forget(tx, namespace, gone); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for blob := range gone {
		if removed := os.Remove(s.blobPath(digest.Digest(blob).Encoded())); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}

// forget removes blobs from a namespace, with the manifests and the images
// that are of no use without them, which are added to gone.
func (s Store) forget(tx *bolt.Tx, namespace string, gone map[string]bool) error {
	blobs := bucket(tx, schema, namespace, "content", "blob")
	for _, blob := range keys(blobs) {
		if slices.ContainsFunc(s.parts(blob), func(part string) bool { return gone[part] }) {
			gone[blob] = true
		}
	}
	for _, blob := range keys(blobs) {
		if gone[blob] {
			if err := blobs.DeleteBucket([]byte(blob)); err != nil {
				return err
			}
		}
	}
	images := bucket(tx, schema, namespace, "images")
	for _, name := range keys(images) {
		target := bucket(tx, schema, namespace, "images", name, "target")
		if target != nil && gone[string(target.Get([]byte("digest")))] {
			if err := images.DeleteBucket([]byte(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxManifest bounds what is read to find out whether a blob is a manifest.
const maxManifest = 4 << 20

// parts are the blobs that a manifest names; none of another blob.
func (s Store) parts(blob string) (parts []string) {
	path := s.blobPath(digest.Digest(blob).Encoded())
	if info, err := os.Stat(path); err != nil || info.Size() > maxManifest {
		return nil
	}
	text, err := os.ReadFile(path)
	var m ocispec.Manifest
	if err != nil || json.Unmarshal(text, &m) != nil || m.Config.Digest == "" {
		return nil
	}
	for _, d := range append(m.Layers, m.Config) {
		parts = append(parts, string(d.Digest))
	}
	return parts
}

func uvarint(b []byte) (uint64, int) { return binary.Uvarint(b) }
