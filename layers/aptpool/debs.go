package aptpool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vauban/internal/beneath"
)

// maxFiles bounds the files of a container that are looked at.
const maxFiles = 50_000

// KeepArchives takes the packages that a container left in a folder and that
// signed lists of its sources name.
func (p *Pool) KeepArchives(ctx context.Context, s Sources, folder string) error {
	data, err := os.ReadFile(filepath.Join(p.sources(s.key), "named"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	root, err := beneath.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	names, err := root.ReadDir(".", maxFiles)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.archives(), 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".deb") {
			continue
		}
		candidates := named(data[:len(data)-len(data)%recordSize]).find(name)
		if err := p.keepArchive(ctx, root, name, candidates); err != nil {
			return fmt.Errorf("keeping %q: %w", name, err)
		}
	}
	return nil
}

// keepArchive takes one package, if it is one of those that lists name so. What
// is not is the container's business.
func (p *Pool) keepArchive(ctx context.Context, root *beneath.Root, name string, candidates []deb) error {
	from, err := root.Open(name)
	if errors.Is(err, beneath.ErrRefused) || errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	candidates = slices.DeleteFunc(candidates, func(d deb) bool {
		_, err := os.Stat(filepath.Join(p.archives(), pooledName(d)))
		return d.size != info.Size() || err == nil
	})
	if len(candidates) == 0 {
		return nil
	}
	return replace(p.archives(), func(to *os.File) (string, error) {
		// What is copied is what has the digest, whatever becomes of the file.
		hash := sha256.New()
		if _, err := io.Copy(io.MultiWriter(to, hash), beneath.Reader(ctx, io.LimitReader(from, info.Size()))); err != nil {
			return "", err
		}
		for _, d := range candidates {
			if [32]byte(hash.Sum(nil)) == d.sha {
				return pooledName(d), nil
			}
		}
		p.log.Debug("a package is not the one that signed lists name, and is not kept for other containers", "package", name)
		return "", nil
	})
}

// replace makes a file in a folder, under the name that fill returns, "" for
// none, when it is whole.
func replace(dir string, fill func(*os.File) (name string, err error)) error {
	next, err := os.CreateTemp(dir, temporary)
	if err != nil {
		return err
	}
	defer os.Remove(next.Name())
	name, err := fill(next)
	if err = errors.Join(err, next.Chmod(0o644), next.Close()); err != nil || name == "" {
		return err
	}
	return os.Rename(next.Name(), filepath.Join(dir, name))
}

// MarkUsed dates the pooled packages of these names, of apt's: those that no
// image has had for longest go first.
func (p *Pool) MarkUsed(names []string) error {
	entries, err := os.ReadDir(p.archives())
	if err != nil || len(names) == 0 {
		return ignoring(err, fs.ErrNotExist)
	}
	used := map[string]bool{}
	for _, name := range names {
		used[name] = true
	}
	now := time.Now()
	for _, entry := range entries {
		if _, name, ok := splitPooled(entry.Name()); ok && used[name] {
			err = errors.Join(err, ignoring(os.Chtimes(filepath.Join(p.archives(), entry.Name()), now, now), fs.ErrNotExist))
		}
	}
	return err
}

func ignoring(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// Bound removes the packages that were used longest ago until the pool holds
// at most size bytes. Containers that have them keep theirs.
func (p *Pool) Bound(size int64) error {
	entries, err := os.ReadDir(p.archives())
	if err != nil {
		return ignoring(err, fs.ErrNotExist)
	}
	var files []fs.FileInfo
	now := time.Now()
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // another run was faster
		}
		path := filepath.Join(p.archives(), entry.Name())
		switch age := now.Sub(info.ModTime()); {
		case strings.HasPrefix(entry.Name(), temporary):
			if age > maxTemporary {
				os.Remove(path)
			}
			continue
		case age < 0: // nothing was used later than now
			os.Chtimes(path, now, now)
		}
		if _, _, ok := splitPooled(entry.Name()); !ok {
			continue
		}
		files = append(files, info)
		size -= info.Size()
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range files {
		if size >= 0 {
			return nil
		}
		if err := os.Remove(filepath.Join(p.archives(), info.Name())); ignoring(err, fs.ErrNotExist) != nil {
			return err
		}
		size += info.Size()
	}
	return nil
}
