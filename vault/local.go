package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vauban/internal/filelock"
	"vauban/internal/redact"
)

// Local keeps each identity in a file that gpg --decrypt reads, <host>.tar.gpg,
// made for a folder in git. Its zero value is of no use: see [NewLocal].
type Local struct {
	dir        string
	passphrase redact.Secret
}

var _ Store = (*Local)(nil)

const suffix = ".tar.gpg"

// fileVersion names the version of a file: the digest of its bytes.
const fileVersion = "file"

// NewLocal returns the store in dir, which the first identity creates. The
// passphrase is the first line of the one given, which is all that gpg reads.
func NewLocal(dir, passphrase string) *Local {
	line, _, _ := strings.Cut(passphrase, "\n")
	return &Local{dir: dir, passphrase: redact.NewSecret(line)}
}

// Get reads the identity of a host.
func (l *Local) Get(ctx context.Context, host string) (Identity, error) {
	file, err := l.file(host)
	if err != nil {
		return Identity{}, err
	}
	message, err := readFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("%q has no identity in %q: %w", host, l.dir, fs.ErrNotExist)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("reading the identity of %q: %w", host, err)
	}
	id, err := l.decode(host, message)
	if err != nil {
		return Identity{}, fmt.Errorf("reading %q: %w", file, err)
	}
	return id, nil
}

func (l *Local) decode(host string, message []byte) (Identity, error) {
	if err := l.checkPassphrase(); err != nil {
		return Identity{}, err
	}
	archive, err := decrypt(message, l.passphrase.Reveal())
	if err != nil {
		return Identity{}, err
	}
	p, err := readArchive(host, archive)
	if err != nil {
		return Identity{}, err
	}
	return newIdentity(p, map[string]string{fileVersion: versionOf(message)})
}

// Put keeps an identity. The file is replaced whole, and only root, or whoever
// runs this, may read it.
func (l *Local) Put(ctx context.Context, host string, id Identity) error {
	file, err := l.file(host)
	if err != nil {
		return err
	}
	message, err := l.encode(host, id)
	if err != nil {
		return fmt.Errorf("writing %q: %w", file, err)
	}
	return l.replace(ctx, host, id.get().version[fileVersion], message)
}

func (l *Local) encode(host string, id Identity) ([]byte, error) {
	if err := l.checkPassphrase(); err != nil {
		return nil, err
	}
	archive, err := writeArchive(host, id.parts())
	if err != nil {
		return nil, err
	}
	return encrypt(archive, l.passphrase.Reveal())
}

// replace writes the file of a host, if it is still as it was read: version is
// empty when there was none.
func (l *Local) replace(ctx context.Context, host, version string, message []byte) error {
	file, err := l.file(host)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("writing the identity of %q: %w", host, err)
	}
	lock, err := filelock.OpenDir(ctx, l.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	current, err := readFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing the identity of %q: %w", host, err)
	}
	if versionOf(current) != version {
		return fmt.Errorf("writing %q: %w", file, ErrConflict)
	}
	if err := replaceFile(file, message); err != nil {
		return fmt.Errorf("writing %q: %w", file, err)
	}
	return nil
}

// List returns the hosts that have a file.
func (l *Local) List(ctx context.Context) ([]string, error) {
	var hosts []string
	// Where the walk begins there may be a link, to another checkout for instance.
	err := fs.WalkDir(os.DirFS(l.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == "." {
			return fs.SkipAll
		} else if err != nil {
			return err
		}
		host, isIdentity := strings.CutSuffix(name, suffix)
		if !entry.IsDir() && isIdentity && checkHost(host) == nil {
			hosts = append(hosts, host)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("listing the identities in %q: %w", l.dir, err)
	}
	slices.Sort(hosts)
	return hosts, nil
}

func (l *Local) file(host string) (string, error) {
	if err := checkHost(host); err != nil {
		return "", err
	}
	return filepath.Join(l.dir, filepath.FromSlash(host)+suffix), nil
}

func (l *Local) checkPassphrase() error {
	if l.passphrase.Reveal() == "" {
		return errors.New("VAULTED_SSHD_KEYS_KEY is not set, or its first line is empty: " +
			"set it, in .secrets.env for example, to the passphrase of the files in the vault")
	}
	return nil
}

// versionOf returns an empty version for a file that is not there.
func versionOf(message []byte) string {
	if len(message) == 0 {
		return ""
	}
	sum := sha256.Sum256(message)
	return hex.EncodeToString(sum[:])
}
