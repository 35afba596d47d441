package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"

	"vauban/internal/damage"
)

func TestMain(m *testing.M) {
	if Dispatch(os.Args) {
		return
	}
	os.Exit(m.Run())
}

// filled makes a store as containerd writes it: a layer, a manifest of it, an
// image of that with its snapshot, and another image.
func filled(t *testing.T) (Store, map[string]string) {
	t.Helper()
	s := In(t.TempDir())
	blobs := map[string]string{}
	for _, name := range []string{"one", "two"} {
		config := s.write(t, "config "+name)
		layer := s.write(t, "layer "+name)
		blobs[name+" layer"] = layer
		blobs[name] = s.write(t, fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q},"layers":[{"digest":%q}]}`, config, layer))
		blobs[name+" config"] = config
	}
	s.make(t, metadataDB, func(tx *bolt.Tx) error {
		for name, blob := range blobs {
			b := s.bucket(t, tx, schema, "vauban", "content", "blob", blob)
			if err := b.Put([]byte("size"), []byte{1}); err != nil {
				return err
			}
			if len(name) == len("one") {
				b := s.bucket(t, tx, schema, "vauban", "images", "docker.io/"+name+":latest", "target")
				if err := b.Put([]byte("digest"), []byte(blob)); err != nil {
					return err
				}
			}
		}
		// Enough for several pages.
		for i := range 300 {
			b := s.bucket(t, tx, schema, "vauban", "snapshots", snapshotter, fmt.Sprint("sha256:", i))
			if err := b.Put([]byte("name"), fmt.Appendf(nil, "vauban/%d/x", i)); err != nil {
				return err
			}
		}
		return nil
	})
	s.make(t, overlayDB, func(tx *bolt.Tx) error {
		for i := range 300 {
			b := s.bucket(t, tx, schema, "snapshots", fmt.Sprintf("vauban/%d/x", i))
			if err := b.Put([]byte("id"), binary.AppendUvarint(nil, uint64(i))); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Join(s.path(trees), fmt.Sprint(i), "fs"), 0o700); err != nil {
				return err
			}
		}
		return nil
	})
	return s, blobs
}

func (s Store) write(t *testing.T, content string) string {
	t.Helper()
	d := digest.FromString(content)
	path := s.blobPath(d.Encoded())
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func (s Store) make(t *testing.T, name string, fn func(*bolt.Tx) error) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(s.path(name)), 0o700), change(s.path(name), fn)); err != nil {
		t.Fatal(err)
	}
}

func (s Store) bucket(t *testing.T, tx *bolt.Tx, names ...string) *bolt.Bucket {
	t.Helper()
	b, err := tx.CreateBucketIfNotExists([]byte(names[0]))
	for _, name := range names[1:] {
		if err != nil {
			t.Fatal(err)
		}
		b, err = b.CreateBucketIfNotExists([]byte(name))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckFindsDamageAndRepairs(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(t *testing.T, s Store, blobs map[string]string)
		want   damage.Kind
		// images that are left after the repair
		left int
	}{
		"metadata cut in two":    {func(t *testing.T, s Store, _ map[string]string) { cut(t, s.path(metadataDB), 2) }, damage.Database, 0},
		"metadata cut short":     {func(t *testing.T, s Store, _ map[string]string) { cut(t, s.path(metadataDB), 5000) }, damage.Database, 0},
		"metadata emptied":       {func(t *testing.T, s Store, _ map[string]string) { cut(t, s.path(metadataDB), 0) }, damage.Database, 0},
		"metadata missing":       {func(t *testing.T, s Store, _ map[string]string) { remove(t, s.path(metadataDB)) }, damage.Database, 0},
		"metadata overwritten":   {func(t *testing.T, s Store, _ map[string]string) { overwrite(t, s.path(metadataDB), 0) }, damage.Database, 0},
		"a page of it is zeros":  {func(t *testing.T, s Store, _ map[string]string) { overwrite(t, s.path(metadataDB), 8192) }, damage.Database, 0},
		"snapshotter cut short":  {func(t *testing.T, s Store, _ map[string]string) { cut(t, s.path(overlayDB), 9000) }, damage.Snapshots, 2},
		"snapshotter emptied":    {func(t *testing.T, s Store, _ map[string]string) { cut(t, s.path(overlayDB), 0) }, damage.Snapshots, 2},
		"a snapshot is missing":  {func(t *testing.T, s Store, _ map[string]string) { remove(t, s.path(trees)+"/7") }, damage.Snapshots, 2},
		"snapshots are missing":  {func(t *testing.T, s Store, _ map[string]string) { remove(t, s.path(trees)) }, damage.Snapshots, 2},
		"a blob is flipped":      {func(t *testing.T, s Store, blobs map[string]string) { flip(t, s, blobs["one layer"]) }, damage.Blob, 1},
		"a blob is missing":      {func(t *testing.T, s Store, blobs map[string]string) { remove(t, s.blobOf(blobs["one config"])) }, damage.Blob, 1},
		"a manifest is cut":      {func(t *testing.T, s Store, blobs map[string]string) { cut(t, s.blobOf(blobs["two"]), 10) }, damage.Blob, 1},
		"a blob that is unknown": {func(t *testing.T, s Store, _ map[string]string) { flip(t, s, s.write(t, "unknown")) }, damage.Blob, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s, blobs := filled(t)
			if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
				t.Fatalf("in a sound store %v is found, %v", found, err)
			}
			test.damage(t, s, blobs)
			found, err := s.Check(t.Context())
			if err != nil || len(found) == 0 || found[0].Kind != test.want {
				t.Fatalf("%+v is found, %v; want %q", found, err, test.want.What)
			}
			if text := found[0].Err.Error(); strings.ContainsAny(text, "\n") || strings.Contains(text, "goroutine") {
				t.Errorf("the reason is %q", text)
			}
			for _, f := range found {
				if err := f.Remove(); err != nil {
					t.Fatal(err)
				}
			}
			if found, err := s.Check(t.Context()); err != nil || len(found) > 0 {
				t.Errorf("after the repair %v is found, %v", found, err)
			}
			if left := s.images(t); left != test.left {
				t.Errorf("%d images are left, want %d", left, test.left)
			}
		})
	}
}

func (s Store) images(t *testing.T) (count int) {
	t.Helper()
	if err := view(s.path(metadataDB), func(tx *bolt.Tx) error {
		count = len(keys(bucket(tx, schema, "vauban", "images")))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return count
}

func (s Store) blobOf(d string) string { return s.blobPath(digest.Digest(d).Encoded()) }

func TestDatabasesInUseAreNotDamaged(t *testing.T) {
	s, _ := filled(t)
	err := open(s.path(metadataDB), false, func(*bolt.DB) error {
		found, err := s.Databases(t.Context())
		if !errors.Is(err, ErrBusy) || len(found) > 0 {
			t.Errorf("%v is found, the error is %v", found, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckOfNothing(t *testing.T) {
	if found, err := In(t.TempDir()).Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("%v is found, the error is %v", found, err)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	s, _ := filled(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := s.Check(ctx); !errors.Is(err, context.Canceled) || len(found) > 0 {
		t.Errorf("%v is found, the error is %v", found, err)
	}
}

func cut(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, 12288), at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, s Store, blob string) {
	t.Helper()
	text, err := os.ReadFile(s.blobOf(blob))
	if err == nil {
		text[3] ^= 1
		err = os.WriteFile(s.blobOf(blob), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
