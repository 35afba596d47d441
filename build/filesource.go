package build

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"vauban/config"
)

// file gives the root filesystem in a file, a tar, plain or compressed, or a
// disk image, once the file has the digest that it must have.
func (r *Runner) file(ctx context.Context, b *config.Base) (_ io.ReadCloser, err error) {
	path := r.Config.Resolve(b.Source.Value)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: base %q: %w", place(r.Config, b.Pos), b.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: base %q from file %q: %w", place(r.Config, b.Pos), b.Name, b.Source.Value, err), f.Close())
		}
	}()
	if err := r.verify(ctx, b, f); err != nil {
		return nil, err
	}
	tar, err := plainTar(f)
	if errors.Is(err, errMaybeDisk) {
		root, err := r.disk(ctx, path)
		if err != nil {
			return nil, err
		}
		return root, f.Close()
	}
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{tar, f}, nil
}

// verify compares a file with `sha256:` and `sha512sums:` and goes back to its
// beginning.
func (r *Runner) verify(ctx context.Context, b *config.Base, f *os.File) error {
	sums := []struct {
		hash hash.Hash
		want string
	}{{sha256.New(), b.SHA256}}
	if b.SHA512Sums != "" {
		list, err := r.sumsFile(ctx, b.SHA512Sums)
		if err != nil {
			return fmt.Errorf("reading `sha512sums: %s`: %w", b.SHA512Sums, err)
		}
		want, err := findSum(list, filepath.Base(f.Name()))
		if err != nil {
			return fmt.Errorf("`sha512sums: %s`: %w", b.SHA512Sums, err)
		}
		sums = append(sums, struct {
			hash hash.Hash
			want string
		}{sha512.New(), want})
	}
	for _, sum := range sums {
		if sum.want == "" {
			continue
		}
		if _, err := io.Copy(sum.hash, f); err != nil {
			return err
		}
		if got := hex.EncodeToString(sum.hash.Sum(nil)); got != sum.want {
			return fmt.Errorf("its digest is %s, not %s: fetch the file again, or correct the digest", got, sum.want)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return nil
}

// maxSums bounds a SHA512SUMS file; Debian's have a few KiB.
const maxSums = 1 << 20

// sumsFile reads a SHA512SUMS file of here or elsewhere.
func (r *Runner) sumsFile(ctx context.Context, from string) ([]byte, error) {
	if !strings.HasPrefix(from, "http://") && !strings.HasPrefix(from, "https://") {
		f, err := os.Open(r.Config.Resolve(from))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxSums))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server says %s", response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxSums))
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
	gzipMagic = "\x1f\x8b"
	xzMagic   = "\xfd7zXZ\x00"
	zstdMagic = "\x28\xb5\x2f\xfd"
	qcowMagic = "QFI\xfb"
	tarMagic  = "ustar" // at tarAt
	tarAt     = 257
)

// errMaybeDisk: what is no tar and not compressed may be a disk image.
var errMaybeDisk = errors.New("it is no tar")

// plainTar is the tar that a file holds, plain or compressed.
func plainTar(f io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(f, 1<<20)
	head, err := in.Peek(tarAt + len(tarMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var plain io.Reader = in
	switch {
	case bytes.HasPrefix(head, []byte(gzipMagic)):
		plain, err = gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte(xzMagic)):
		plain, err = xz.NewReader(in)
	case bytes.HasPrefix(head, []byte(zstdMagic)):
		plain, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	default:
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("decompressing it: %w", err)
	}
	tar := bufio.NewReaderSize(plain, 1<<20)
	head, err = tar.Peek(tarAt + len(tarMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("decompressing it: %w", err)
	}
	if len(head) == tarAt+len(tarMagic) && string(head[tarAt:]) == tarMagic {
		return tar, nil
	}
	if plain == io.Reader(in) {
		return nil, errMaybeDisk
	}
	return nil, errors.New("what is compressed in it is no tar of a root filesystem: decompress a disk image first")
}
