package dockerfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/internal/filelock"
)

// cacheName makes a file name of a cache's id; none begins with a dot.
func cacheName(id string) string {
	name := url.PathEscape(id)
	if name[0] == '.' {
		name = "%2E" + name[1:]
	}
	if len(name) > 200 { // file names end at 255 bytes
		name = digest.FromString(id).Encoded()
	}
	return name
}

// makeCache makes a cache's directory the first time.
func (b *dockerBuild) makeCache(m runMount) (string, error) {
	if b.CacheDir == "" {
		return "", errors.New("the directory for caches is not set")
	}
	dir := filepath.Join(b.CacheDir, cacheName(m.id))
	if err := os.MkdirAll(b.CacheDir, 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		now := time.Now() // what is used is not pruned
		return dir, os.Chtimes(dir, now, now)
	} else if err != nil {
		return "", err
	}
	return dir, errors.Join(os.Chown(dir, m.owner.uid, m.owner.gid), os.Chmod(dir, fs.FileMode(m.mode)))
}

// lockCaches waits until no other RUN has one of the caches that are not to be
// shared. All take them in one order, so that no two wait for each other.
func (b *dockerBuild) lockCaches(mounts []runMount, done *undoing) error {
	locked := slices.DeleteFunc(slices.Clone(mounts), func(m runMount) bool { return !m.locked })
	slices.SortFunc(locked, func(a, b runMount) int { return cmp.Compare(a.id, b.id) })
	for _, m := range locked {
		dir := filepath.Join(b.CacheDir, ".locks")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the folder of locks: %w", err)
		}
		lock, err := filelock.Open(b.ctx, filepath.Join(dir, cacheName(m.id)))
		if err != nil {
			return fmt.Errorf("waiting for the cache %q: %w", m.id, err)
		}
		done.add(lock.Close)
	}
	return nil
}
