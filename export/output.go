package export

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"vauban/internal/durable"
	"vauban/internal/filelock"
)

// tempMark is part of the name of everything that is not finished.
const tempMark = ".tmp-"

// An output is a file that gets its name only when it is whole.
type output struct {
	*os.File
	path string
}

// createOutput opens a temporary file beside path and removes those that dead
// writers of the same path left. A writer that lives holds a lock on its file.
func createOutput(path string) (*output, error) {
	dir, base := filepath.Split(path)
	prefix := "." + base + tempMark
	if err := sweepOutputs(filepath.Clean(dir), prefix); err != nil {
		return nil, err
	}
	for {
		f, err := os.CreateTemp(filepath.Clean(dir), prefix)
		if err != nil {
			return nil, err
		}
		// Another writer may have swept the file before it was locked.
		mine, err := filelock.Try(f, filelock.Exclusive)
		if mine && sameFile(f) {
			return &output{File: f, path: path}, nil
		}
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			return nil, err
		}
	}
}

// commit gives the file its name, on disk, and returns its size in bytes.
func (o *output) commit() (int64, error) {
	info, err := o.Stat()
	if err != nil {
		return 0, err
	}
	if err := o.Chmod(0o644); err != nil {
		return 0, err
	}
	return info.Size(), durable.Rename(o.Name(), o.path)
}

// discard ends an output; what was not committed is removed.
func (o *output) discard() {
	os.Remove(o.Name()) // gone after a commit
	o.Close()
}

// sweepOutputs removes files in dir with the prefix whose writer is dead.
func sweepOutputs(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if len(e.Name()) <= len(prefix) || e.Name()[:len(prefix)] != prefix || !e.Type().IsRegular() {
			continue
		}
		if err := removeUnlocked(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func removeUnlocked(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if dead, err := filelock.Try(f, filelock.Exclusive); err != nil || !dead {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sameFile reports whether f still has the name it was opened with.
func sameFile(f *os.File) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(a, b)
}
