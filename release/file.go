package release

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// ErrDamaged is the kind of error of a file that does not have the content
// that a release says.
var ErrDamaged = errors.New("damaged")

// A File is one file of a release.
type File struct {
	Name   string        `json:"name"` // in the release's directory
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"` // bytes
}

func (f File) check(name string) error {
	if f.Name != name {
		return fmt.Errorf("file %q is called %q", name, f.Name)
	}
	if err := f.Digest.Validate(); err != nil || f.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("file %q has the digest %q, which is not sha256:HEX", name, f.Digest)
	}
	if f.Size < 0 {
		return fmt.Errorf("file %q has the size %d", name, f.Size)
	}
	return nil
}

// describe reads a file and says what it would be in a release under name.
func describe(path, name string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return File{}, err
	} else if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("%q is not a regular file", path)
	}
	hash := digest.SHA256.Digester()
	n, err := io.Copy(hash.Hash(), f)
	if err != nil {
		return File{}, err
	}
	return File{Name: name, Digest: hash.Digest(), Size: n}, nil
}

// verify checks that the file at path has the content that want says.
func verify(path string, want File) error {
	got, err := describe(path, want.Name)
	if err != nil {
		return err
	}
	return matching(path, got.Digest, want)
}

func matching(path string, got digest.Digest, want File) error {
	if got != want.Digest {
		return fmt.Errorf("%q: %w: its digest is %s, not %s", path, ErrDamaged, got, want.Digest)
	}
	return nil
}

// copy writes source to path, on disk, and checks that it has the content that
// want says. Path must not exist.
func (t *tree) copy(path, source string, want File) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	hash := digest.SHA256.Digester()
	if err := t.write(path, io.TeeReader(in, hash.Hash())); err != nil {
		return fmt.Errorf("copying %q to %q: %w", source, filepath.Dir(path), err)
	}
	return matching(source, hash.Digest(), want)
}

// write makes a file of what r gives, on disk.
func (t *tree) write(path string, r io.Reader) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := t.own(path, 0o644); err != nil {
		return err
	}
	if _, err := io.Copy(out, r); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Close()
}
