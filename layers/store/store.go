// Package store checks and repairs what an embedded containerd keeps on disk,
// while it does not run: two databases, blobs and snapshots.
//
// Of the databases only what is needed is known here; their form is described
// in containerd's core/metadata/buckets.go and core/snapshots/storage/bolt.go.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"vauban/internal/damage"
)

// Names below containerd's root.
const (
	metadataDB = "io.containerd.metadata.v1.bolt/meta.db"
	contentDir = "io.containerd.content.v1.content"
	blobsDir   = contentDir + "/blobs/sha256"
	overlayDir = "io.containerd.snapshotter.v1.overlayfs"
	overlayDB  = overlayDir + "/metadata.db"
	trees      = overlayDir + "/snapshots"

	schema      = "v1"
	snapshotter = "overlayfs"
)

// Store is containerd's folder in a state directory.
type Store struct{ root string }

// In is the store of the embedded containerd of a state directory.
func In(stateDir string) Store { return Store{filepath.Join(stateDir, "containerd")} }

func (s Store) path(name string) string { return filepath.Join(s.root, name) }

// Databases checks both databases by themselves and against each other: all
// that containerd needs to start. It takes some 0.1 s.
func (s Store) Databases(ctx context.Context) ([]damage.Finding, error) {
	if err := sound(ctx, s.path(metadataDB)); errors.Is(err, errDatabase) {
		return s.found(damage.Database, metadataDB, err, s.removeAll), nil
	} else if err != nil {
		return nil, err
	}
	if err := sound(ctx, s.path(overlayDB)); errors.Is(err, errDatabase) {
		return s.found(damage.Snapshots, overlayDB, err, s.removeSnapshots), nil
	} else if err != nil {
		return nil, err
	}
	return s.emptied()
}

// emptied finds databases that lost what the other one, or the disk, still
// has.
func (s Store) emptied() ([]damage.Finding, error) {
	blobs, err := names(s.path(blobsDir))
	if err != nil {
		return nil, err
	}
	if empty, err := isEmpty(s.path(metadataDB)); err != nil {
		return nil, err
	} else if empty && len(blobs) > 0 {
		return s.found(damage.Database, metadataDB, fmt.Errorf("it is empty, and %d blobs are there", len(blobs)), s.removeAll), nil
	}
	known, err := s.knownSnapshots()
	if err != nil {
		return nil, err
	}
	if empty, err := isEmpty(s.path(overlayDB)); err != nil {
		return nil, err
	} else if empty && len(known) > 0 {
		return s.found(damage.Snapshots, overlayDB, fmt.Errorf("it is empty, and containerd has %d snapshots", len(known)), s.removeSnapshots), nil
	}
	return nil, nil
}

// isEmpty says whether a database is missing or has no bytes, as after a
// crash of the disk.
func isEmpty(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && info.Size() == 0, err
}

// knownSnapshots are the names in the snapshotter of those that the metadata
// has.
func (s Store) knownSnapshots() (map[string]bool, error) {
	known := map[string]bool{}
	err := view(s.path(metadataDB), func(tx *bolt.Tx) error {
		for _, namespace := range keys(bucket(tx, schema)) {
			all := bucket(tx, schema, namespace, "snapshots", snapshotter)
			for _, key := range keys(all) {
				if b := all.Bucket([]byte(key)); b != nil {
					known[string(b.Get([]byte("name")))] = true
				}
			}
		}
		return nil
	})
	return known, err
}

// Check checks everything: the databases first, and what they name only when
// they can be used.
func (s Store) Check(ctx context.Context) ([]damage.Finding, error) {
	found, err := s.Databases(ctx)
	if err != nil || len(found) > 0 {
		return found, err
	}
	unpacked, err := s.snapshots()
	if err != nil {
		return nil, err
	}
	blobs, err := s.blobs(ctx)
	return append(unpacked, blobs...), err
}

// snapshots finds snapshots that the metadata names and that the snapshotter
// or the disk does not have.
func (s Store) snapshots() ([]damage.Finding, error) {
	known, err := s.knownSnapshots()
	if err != nil {
		return nil, err
	}
	var missing error
	err = view(s.path(overlayDB), func(tx *bolt.Tx) error {
		all := bucket(tx, schema, "snapshots")
		for name := range known {
			if all == nil || all.Bucket([]byte(name)) == nil {
				missing = fmt.Errorf("the snapshotter does not have %q", name)
				return nil
			}
		}
		for _, name := range keys(all) {
			id, _ := uvarint(all.Bucket([]byte(name)).Get([]byte("id")))
			tree := filepath.Join(s.path(trees), strconv.FormatUint(id, 10), "fs")
			if info, err := os.Lstat(tree); err != nil || !info.IsDir() {
				missing = fmt.Errorf("the folder %q of %q is missing", tree, name)
				return nil
			}
		}
		return nil
	})
	if err != nil || missing == nil {
		return nil, err
	}
	return s.found(damage.Snapshots, trees, missing, s.removeSnapshots), nil
}

func (s Store) found(kind damage.Kind, name string, err error, remove func() error) []damage.Finding {
	return []damage.Finding{{Kind: kind, Path: s.path(name), Err: err, Remove: remove}}
}

// removeAll removes everything of containerd's. Without its metadata no blob
// and no snapshot can be found.
func (s Store) removeAll() error { return os.RemoveAll(s.root) }

// removeSnapshots removes all snapshots, and has containerd forget them.
// Images are unpacked again when they are used.
func (s Store) removeSnapshots() error {
	if empty, err := isEmpty(s.path(metadataDB)); err != nil {
		return err
	} else if !empty {
		err := change(s.path(metadataDB), func(tx *bolt.Tx) error {
			for _, namespace := range keys(bucket(tx, schema)) {
				if b := bucket(tx, schema, namespace); b != nil && b.Bucket([]byte("snapshots")) != nil {
					if err := b.DeleteBucket([]byte("snapshots")); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return os.RemoveAll(s.path(overlayDir))
}

// names lists a folder, which need not exist.
func names(dir string) (all []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all, err
}
