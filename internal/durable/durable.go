// Package durable changes files in one step each: after a crash there is what
// was before, or all that is new. What has returned is on disk.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/atomicfile"
)

// WriteFile gives a file its content, in place of a file that has the name.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return Write(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write gives a file what fn writes, unless that fails.
func Write(path string, mode fs.FileMode, fn func(io.Writer) error) error {
	file, err := atomicfile.New(path, mode)
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	if err := fn(file); err != nil {
		return fmt.Errorf("writing %q: %w", path, errors.Join(err, file.Cancel()))
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	// The file is on disk by then, its name is not.
	return Sync(filepath.Dir(path))
}

// Rename moves a file or a folder in place of a file that has the name. Files
// in a folder must be on disk already.
func Rename(from, to string) error {
	if err := Sync(from); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return Sync(filepath.Dir(to))
}

// Sync writes a file, or the names in a folder, to disk.
func Sync(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
