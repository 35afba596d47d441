// Package download gets files from http and https servers into a cache on disk,
// where each is named by its digest.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
	"vauban/internal/durable"
	"vauban/internal/filelock"
)

// Client gets files. Its zero value with a Dir works.
type Client struct {
	// Dir is the cache: DIR/ALGORITHM-DIGEST/file, and `part` next to it while
	// it is on its way. Whoever removes folders of it must know that no one
	// uses them; a use sets the folder's date.
	Dir string
	// Patience is how long a server may be silent, or slower than 4 KiB/s. 0: a
	// minute.
	Patience time.Duration
	// Attempts is how often a request that fails for a passing reason is made
	// without a byte having come. 0: 5.
	Attempts int
	// Backoff is the time before the second attempt; it doubles each time.
	// 0: half a second.
	Backoff time.Duration
	// MaxBytes bounds a file. 0: 64 GiB.
	MaxBytes int64
	// Progress is told how much of a file is there, of how much (-1: not
	// known), at its beginning and every ten seconds. Nil: not called.
	Progress func(have, size int64)
	// Log gets what happens. Nil drops it.
	Log *slog.Logger

	interval time.Duration // of Progress
}

func (c Client) withDefaults() Client {
	if c.Patience <= 0 {
		c.Patience = time.Minute
	}
	if c.Attempts <= 0 {
		c.Attempts = 5
	}
	if c.Backoff <= 0 {
		c.Backoff = 500 * time.Millisecond
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 64 << 30
	}
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.interval <= 0 {
		c.interval = 10 * time.Second
	}
	return c
}

// MismatchError is content that is not what its digest says.
type MismatchError struct{ Got, Want digest.Digest }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("its digest is %s, not %s", e.Got, e.Want)
}

// File gives the path of the file whose content has all of the digests, from
// the cache, or else from the address. A download that was interrupted goes on
// where it stopped, in this call or a later one; only what was verified has
// the name that this returns.
func (c Client) File(ctx context.Context, address string, digests ...digest.Digest) (path string, err error) {
	c = c.withDefaults()
	dir := c.folder(digests[0])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the cache of downloads: %w", err)
	}
	lock, err := filelock.Open(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err != nil {
		return "", fmt.Errorf("using the cache of downloads: %w", err)
	}
	path = filepath.Join(dir, "file")
	err = verify(ctx, path, digests)
	if _, isWrong := errors.AsType[*MismatchError](err); isWrong {
		c.Log.Warn("a file in the cache of downloads is damaged, and comes again", "file", path, "error", err)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	part := filepath.Join(dir, "part")
	if err := c.complete(ctx, address, part, digests); err != nil {
		return "", err
	}
	return path, settle(part, path)
}

func (c Client) folder(d digest.Digest) string {
	return filepath.Join(c.Dir, strings.Replace(d.String(), ":", "-", 1))
}

// complete makes part the whole file, verified. What an earlier run left may be
// of another file that had the address: then all of it comes again.
func (c Client) complete(ctx context.Context, address, part string, digests []digest.Digest) error {
	_, err := os.Stat(part)
	resumed := err == nil
	if err := c.fill(ctx, address, part); err != nil {
		return err
	}
	err = verify(ctx, part, digests)
	if _, isWrong := errors.AsType[*MismatchError](err); !isWrong {
		return err
	}
	if removed := os.Remove(part); removed != nil || !resumed {
		return errors.Join(err, removed)
	}
	c.Log.Info("what was there of a download is of another file: it begins again")
	return c.complete(ctx, address, part, digests)
}

// fill appends to part what it lacks of the file at the address.
func (c Client) fill(ctx context.Context, address, part string) (err error) {
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("keeping a download: %w", err)
	}
	defer func() {
		info, unknown := f.Stat()
		isEmpty := unknown == nil && info.Size() == 0
		err = errors.Join(err, f.Close())
		if errors.Is(err, errDisk) || errors.Is(err, errTooLong) || err != nil && isEmpty { // a full disk needs the room
			err = errors.Join(err, os.Remove(part))
		}
	}()
	server, err := newServer(address, c.Patience)
	if err != nil {
		return err
	}
	defer server.close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	return c.retry(ctx, server, func() (came bool, err error) {
		before := have
		have, err = c.append(ctx, server, f, have)
		return have-before >= minProgress, err
	})
}

// append gets what comes after the first have bytes. It tells how many there
// are afterwards.
func (c Client) append(ctx context.Context, server *server, f *os.File, have int64) (int64, error) {
	body, from, size, err := server.get(ctx, have)
	if err != nil {
		return have, err
	}
	defer body.Close()
	if from != have { // the server has no parts, or the part is of something longer
		if err := f.Truncate(from); err != nil {
			return have, fmt.Errorf("%w: %w", errDisk, err)
		}
		have = from
	}
	if err := hasRoom(f, size-have); err != nil {
		return have, err
	}
	if size > c.MaxBytes {
		return have, fmt.Errorf("%w: %d bytes, at most %d are taken", errTooLong, size, c.MaxBytes)
	}
	c.Progress(have, size)
	told := time.Now()
	for buffer := make([]byte, 1<<20); ; {
		n, err := body.Read(buffer)
		if have+int64(n) > c.MaxBytes {
			return have, fmt.Errorf("%w: more than %d bytes", errTooLong, c.MaxBytes)
		}
		if n > 0 {
			if _, err := f.WriteAt(buffer[:n], have); err != nil {
				return have, fmt.Errorf("%w: %w", errDisk, err)
			}
			have += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return have, nil
		} else if err != nil {
			return have, err
		}
		if now := time.Now(); now.Sub(told) >= c.interval {
			told = now
			c.Progress(have, size)
		}
	}
}

// errDisk is the kind of what goes wrong on this side.
var errDisk = errors.New("keeping it")

// hasRoom tells at the start that a file is too large for the disk.
func hasRoom(f *os.File, need int64) error {
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &disk); err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; need > free {
		return fmt.Errorf("%w: %d MiB are to come and %q has room for %d: %w", errDisk, need>>20, filepath.Dir(f.Name()), free>>20, unix.ENOSPC)
	}
	return nil
}

// verify compares the content of a file with digests.
func verify(ctx context.Context, path string, digests []digest.Digest) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var all []io.Writer
	var digesters []digest.Digester
	for _, d := range digests {
		one := d.Algorithm().Digester()
		digesters, all = append(digesters, one), append(all, one.Hash())
	}
	if _, err := io.Copy(io.MultiWriter(all...), beneath.Reader(ctx, f)); err != nil {
		return fmt.Errorf("verifying a download: %w", err)
	}
	for i, want := range digests {
		if got := digesters[i].Digest(); got != want {
			return &MismatchError{Got: got, Want: want}
		}
	}
	return nil
}

// settle gives what is verified its name, for good.
func settle(part, path string) error {
	if err := durable.Rename(part, path); err != nil {
		return fmt.Errorf("keeping a download: %w", err)
	}
	return nil
}
