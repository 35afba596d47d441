// Package sealed notices changes in folders whose files never change: a seal
// in the folder holds the digests of all others.
package sealed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/internal/beneath"
	"vauban/internal/damage"
	"vauban/internal/durable"
)

// name of the seal in its folder.
const name = ".digests.json"

// ErrBroken is the kind of error of a folder that is not as it was sealed.
var ErrBroken = errors.New("damaged")

// ErrUnsealed is the kind of error of a folder that was never sealed, or lost
// its seal. It is one of ErrBroken too.
var ErrUnsealed = fmt.Errorf("%w: it has no digests", ErrBroken)

// seal is what a folder held: by path, the digest of a file or of the target
// of a link.
type seal struct {
	Files map[string]digest.Digest `json:"files"`
	Links map[string]string        `json:"links,omitempty"`
}

// Folder seals what dir holds. The seal is on disk when Folder returns; the
// files must be there already.
func Folder(ctx context.Context, dir string) error {
	s, err := read(ctx, dir, nil)
	if err != nil {
		return fmt.Errorf("sealing %q: %w", dir, err)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o600)
}

// Check reads all that was sealed in dir. The error is of the kind ErrBroken
// when a file differs, is missing, or dir was never sealed. Files that came
// later do not matter.
func Check(ctx context.Context, dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q: %w", dir, ErrUnsealed)
	} else if err != nil {
		return err
	}
	var want seal
	if err := json.Unmarshal(text, &want); err != nil || len(want.Files) == 0 {
		return fmt.Errorf("%q: %w: it is not a list of digests", filepath.Join(dir, name), ErrBroken)
	}
	got, err := read(ctx, dir, &want)
	if err != nil {
		return err
	}
	for path, d := range want.Files {
		if got.Files[path] != d {
			return broken(dir, path, string(got.Files[path]), string(d))
		}
	}
	for path, target := range want.Links {
		if got.Links[path] != target {
			return broken(dir, path, got.Links[path], target)
		}
	}
	return nil
}

// Use says whether a cache is there and as it was sealed, and dates it: a cache
// that is used is not pruned. A damaged one is removed with a line in the log,
// so that the caller makes it again.
func Use(ctx context.Context, dir string, log *slog.Logger) (bool, error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	err := Check(ctx, dir)
	if errors.Is(err, ErrBroken) {
		log.Warn("a cache is damaged and is made again", "folder", dir, "error", err)
		return false, os.RemoveAll(dir)
	} else if err != nil {
		return false, fmt.Errorf("checking the cache %q: %w", dir, err)
	}
	now := time.Now()
	return true, os.Chtimes(dir, now, now)
}

func broken(dir, path, got, want string) error {
	path = filepath.Join(dir, path)
	if got == "" {
		return fmt.Errorf("%q: %w: it is missing", path, ErrBroken)
	}
	return fmt.Errorf("%q: %w: it is %s, not %s", path, ErrBroken, got, want)
}

// read digests the files of a folder: all of them, or those of a seal.
func read(ctx context.Context, dir string, only *seal) (seal, error) {
	s := seal{Files: map[string]digest.Digest{}, Links: map[string]string{}}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		short, err := filepath.Rel(dir, path)
		if err != nil || short == name {
			return err
		}
		if only != nil && only.Files[short] == "" && only.Links[short] == "" {
			return nil
		}
		switch entry.Type() {
		case fs.ModeSymlink:
			s.Links[short], err = os.Readlink(path)
		case 0:
			s.Files[short], err = digestOf(ctx, path)
		}
		return err
	})
	return s, err
}

func digestOf(ctx context.Context, path string) (digest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest.FromReader(beneath.Reader(ctx, f))
}

// Damaged finds the folders of a pattern that are not as they were sealed.
// Those without a seal are made again at their next use anyway.
func Damaged(ctx context.Context, kind damage.Kind, pattern string) ([]damage.Finding, error) {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var found []damage.Finding
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		err := Check(ctx, dir)
		if errors.Is(err, ErrBroken) && !errors.Is(err, ErrUnsealed) {
			found = append(found, damage.Finding{Kind: kind, Path: dir, Err: err, Remove: func() error { return os.RemoveAll(dir) }})
		} else if err != nil && !errors.Is(err, ErrBroken) {
			return nil, err
		}
	}
	return found, nil
}
