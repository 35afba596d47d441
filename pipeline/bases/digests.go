package bases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/config"
	"vauban/internal/beneath"
	"vauban/internal/durable"
)

// contents digests files of this machine. A file that is as it was is not read
// again: a disk image has many GiB.
type Digests struct {
	// Dir keeps the digests of files that did not change.
	Dir string
}

// fileIdentity changes with a file's content, its name's or not.
type fileIdentity struct {
	Device, Inode uint64
	Size          int64
	Modified      time.Time
	Changed       time.Time
}

// digested is what is kept of a file.
type digested struct {
	Identity fileIdentity
	Digest   digest.Digest
}

// settled is how old a change must be for the next one to have another time.
const settled = time.Second

func (c Digests) digest(ctx context.Context, path string) (d digest.Digest, err error) {
	f, err := beneath.OpenRegular(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := identify(f)
	if err != nil {
		return "", err
	}
	copyOf := filepath.Join(c.Dir, digest.FromString(path).Encoded())
	var kept digested
	if data, err := os.ReadFile(copyOf); err == nil && json.Unmarshal(data, &kept) == nil && kept.Identity == before && kept.Digest.Validate() == nil {
		return kept.Digest, nil
	}
	start := time.Now()
	if d, err = digest.FromReader(beneath.Reader(ctx, f)); err != nil {
		return "", err
	}
	after, err := identify(f)
	if err != nil || after != before || start.Sub(before.Changed) < settled {
		return d, err // it may have changed since, or within one tick of the clock
	}
	return d, keepDigest(copyOf, digested{before, d})
}

func identify(f *os.File) (fileIdentity, error) {
	info, err := f.Stat()
	if err != nil {
		return fileIdentity{}, err
	}
	if !info.Mode().IsRegular() {
		return fileIdentity{}, fmt.Errorf("%q is not a file", f.Name())
	}
	s := info.Sys().(*syscall.Stat_t)
	return fileIdentity{uint64(s.Dev), s.Ino, s.Size, time.Unix(s.Mtim.Unix()).UTC(), time.Unix(s.Ctim.Unix()).UTC()}, nil
}

func keepDigest(path string, d digested) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keeping the digest of a file: %w", err)
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("keeping the digest of a file: %w", err)
	}
	return nil
}

// Of digests the files that config.yml names for a base and says nothing more
// of.
func (c Digests) Of(ctx context.Context, cfg *config.Config, b *config.Base) (ansible.Inputs, error) {
	inputs := ansible.Inputs{}
	for name, path := range Files(b) {
		d, err := c.digest(ctx, cfg.Resolve(path))
		if err != nil {
			return nil, fmt.Errorf("digesting %s: %w", name, err)
		}
		inputs.Add(name, d)
	}
	return inputs, nil
}

// Files are those files, by what the record calls them.
func Files(b *config.Base) map[string]string {
	files := map[string]string{}
	if b.Source.Kind == config.File && b.SHA256 == "" {
		files["the content of `file:`"] = b.Source.Value
	}
	if b.Keyring != "" {
		files["the content of `keyring:`"] = b.Keyring
	}
	return files
}
