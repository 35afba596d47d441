package bases

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha512" // go-digest asks for it as well
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/download"
	"vauban/internal/beneath"
	"vauban/internal/decompress"
)

// file gives the root filesystem in a file here, once it has the digest that it
// must have.
func (o *Opener) file(ctx context.Context, b *config.Base, digests []digest.Digest) (io.ReadCloser, error) {
	f, err := beneath.OpenRegular(o.Config.Resolve(b.Source.Value))
	if err != nil {
		return nil, err
	}
	if err := verify(ctx, f, digests); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return o.rootIn(ctx, f)
}

// rootIn gives the root filesystem in a file, which it closes in the end.
func (o *Opener) rootIn(ctx context.Context, f *os.File) (io.ReadCloser, error) {
	root, err := o.openRoot(ctx, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &closingToo{root, f}, nil
}

// closingToo closes what it reads from as well.
type closingToo struct {
	io.ReadCloser
	from io.Closer
}

func (c *closingToo) Close() error { return errors.Join(c.ReadCloser.Close(), c.from.Close()) }

// openRoot knows tars and disk images by how they begin, plain or compressed,
// and Debian's tars of a disk image.
func (o *Opener) openRoot(ctx context.Context, f *os.File) (io.ReadCloser, error) {
	in, isCompressed, err := decompressed(beneath.Reader(ctx, f))
	if err != nil {
		return nil, err
	}
	switch head, err := in.Peek(tarBlock); {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("decompressing it: %w", err)
	case isTar(head) && isDisk(head):
		entries := tar.NewReader(in)
		if _, err := entries.Next(); err != nil {
			return nil, fmt.Errorf("reading the tar of a disk image: %w", err)
		}
		return o.disk(ctx, "", entries)
	case isTar(head):
		return io.NopCloser(in), nil
	case isCompressed:
		return o.disk(ctx, "", in)
	}
	return o.disk(ctx, f.Name(), nil)
}

// verify compares a file with digests and goes back to its beginning.
func verify(ctx context.Context, f *os.File, digests []digest.Digest) error {
	for _, want := range digests {
		digester := want.Algorithm().Digester()
		if _, err := io.Copy(digester.Hash(), beneath.Reader(ctx, f)); err != nil {
			return err
		}
		if got := digester.Digest(); got != want {
			return fmt.Errorf("its digest is %s, not %s: fetch the file again, or correct the digest", got, want)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return nil
}

// digests are those that a base's file must have: of config.yml, and of the
// list that it names.
func (o *Opener) digests(ctx context.Context, b *config.Base) (digests []digest.Digest, err error) {
	if b.SHA256 != "" {
		digests = append(digests, digest.NewDigestFromEncoded(digest.SHA256, b.SHA256))
	}
	if b.SHA512Sums != "" {
		listed, err := listedDigest(ctx, o.Config, o.downloads(), b)
		if err != nil {
			return nil, err
		}
		digests = append(digests, listed)
	}
	return digests, nil
}

// listedDigest is what the base's SHA512SUMS file says of its file or URL.
func listedDigest(ctx context.Context, cfg *config.Config, c download.Client, b *config.Base) (digest.Digest, error) {
	list, err := sumsFile(ctx, cfg, c, b.SHA512Sums)
	if err != nil {
		return "", fmt.Errorf("reading `sha512sums: %s`: %w", config.PublicURL(b.SHA512Sums), err)
	}
	name := filepath.Base(b.Source.Value)
	if u, err := url.Parse(b.Source.Value); err == nil && b.Source.Kind == config.URL {
		name = path.Base(u.Path)
	}
	sum, err := findSum(list, name)
	if err != nil {
		return "", fmt.Errorf("`sha512sums: %s`: %w", config.PublicURL(b.SHA512Sums), err)
	}
	return digest.NewDigestFromEncoded(digest.SHA512, sum), nil
}

// maxSums bounds a SHA512SUMS file; Debian's have a few KiB.
const maxSums = 1 << 20

// sumsFile reads a SHA512SUMS file of here or elsewhere.
func sumsFile(ctx context.Context, cfg *config.Config, c download.Client, from string) ([]byte, error) {
	if strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://") {
		return c.Text(ctx, from, maxSums)
	}
	return beneath.ReadRegular(ctx, cfg.Resolve(from), maxSums)
}

// findSum returns the digest that a SHA512SUMS file has for a name.
// Source: sha512sum(1): the digest, a space, a space or an asterisk, the name.
func findSum(list []byte, name string) (string, error) {
	for line := range strings.Lines(string(list)) {
		sum, file, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		file = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(file, " "), "*"), "./")
		if file != name {
			continue
		}
		if digest, err := hex.DecodeString(sum); err != nil || len(digest) != sha512.Size {
			return "", fmt.Errorf("the line of %q has no SHA-512 digest", name)
		}
		return strings.ToLower(sum), nil
	}
	return "", fmt.Errorf("it does not list %q", name)
}

// What files begin with.
const (
	qcowMagic = "QFI\xfb"
	tarMagic  = "ustar" // at tarAt
	tarAt     = 257
)

// tarBlock is how long a tar's shortest part is.
const tarBlock = 512

func isTar(head []byte) bool {
	return len(head) == tarBlock && string(head[tarAt:tarAt+len(tarMagic)]) == tarMagic
}

// isDisk tells of a tar whether what it holds is a disk image.
func isDisk(head []byte) bool {
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	return strings.TrimPrefix(string(name), "./") == "disk.raw"
}

// decompressed is what a file holds.
func decompressed(f io.Reader) (plain *bufio.Reader, isCompressed bool, err error) {
	out, isCompressed, err := decompress.NewReader(f)
	if err != nil {
		return nil, isCompressed, err
	}
	return bufio.NewReaderSize(out, 1<<20), isCompressed, nil
}
