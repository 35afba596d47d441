package export

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

// DefaultConffsLimit is how many bytes a conffs may take in a machine's memory.
const DefaultConffsLimit = 50 << 20

// ConffsOptions say what a conffs may hold.
type ConffsOptions struct {
	// MaxSize is how many bytes of memory the unpacked files may take on the
	// machine, and how many the archive may have (conffs_max_size); 0 is
	// DefaultConffsLimit.
	MaxSize int64
	// Own are patterns, of path.Match, of the files that every host has
	// whatever its playbooks do.
	Own []string
	// Log gets the warning about an archive that holds nothing else; nil is
	// silent.
	Log *slog.Logger
}

// A ConffsReport tells what a conffs holds.
type ConffsReport struct {
	Path    string
	Size    int64 // bytes of the archive
	Digest  digest.Digest
	Content int64 // bytes of the files in it, holes of sparse files included
	Memory  int64 // bytes that the files take in a tmpfs, holes not included
	Files   int   // that are no directories and no deletions
	Deleted int   // names that the master has and the host has not
	// Empty shows that the host is as its master, but for ConffsOptions.Own.
	Empty bool
	// Largest are the files that take most memory, largest first, at most ten.
	Largest []SizedFile
}

// A SizedFile is a path in an archive and the bytes that the file takes in a
// tmpfs.
type SizedFile struct {
	Path string
	Size int64
}

// Conffs compresses the tar stream that diff writes into out. The same stream
// gives the same bytes. Out appears whole or not at all: an archive that is
// too large, or that holds kernel modules, is an error that names the files.
func Conffs(ctx context.Context, out string,
	diff func(ctx context.Context, w io.Writer) error, o ConffsOptions,
) (report ConffsReport, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("packing %q: %w", out, err)
		}
	}()
	file, err := createOutput(out)
	if err != nil {
		return ConffsReport{}, err
	}
	defer file.discard()

	limit := cmp.Or(o.MaxSize, DefaultConffsLimit)
	hash := digest.SHA256.Digester()
	archive := &limited{w: io.MultiWriter(file, hash.Hash()), left: limit}
	seen := &census{own: o.Own}
	err = seen.compress(ctx, archive, diff)
	if err != nil {
		return ConffsReport{}, err
	}
	if err := seen.check(); err != nil {
		return ConffsReport{}, err
	}
	if err := seen.checkSize(limit-archive.left, limit); err != nil {
		return ConffsReport{}, err
	}
	report = seen.report()
	report.Path, report.Digest = out, hash.Digest()
	if report.Empty && o.Log != nil {
		o.Log.Warn("the host does not differ from its master: its conffs is empty", "path", out)
	}
	report.Size, err = file.commit()
	return report, err
}

// compress writes what diff writes, compressed, and counts it on the way.
func (c *census) compress(ctx context.Context, w io.Writer, diff func(context.Context, io.Writer) error) error {
	read, write := io.Pipe()
	counted := make(chan error, 1)
	go func() {
		err := c.read(read)
		read.CloseWithError(err) // a stream that is no tar ends diff
		counted <- err
	}()
	z := gzip.NewWriter(w)
	// No date: this writer stores the zero time as one of the year 2042.
	z.ModTime = time.Unix(0, 0)
	err := diff(ctx, io.MultiWriter(z, write))
	write.CloseWithError(err)
	if counting := <-counted; err == nil {
		err = counting // else it is what ended diff, or diff's own
	}
	if err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return ctx.Err()
}

// Limited writes as long as there is room and counts on after that, so that
// the largest files of a stream are known and the disk is not filled.
type limited struct {
	w    io.Writer
	left int64 // negative by what did not fit
}

func (l *limited) Write(b []byte) (int, error) {
	l.left -= int64(len(b))
	if l.left < 0 {
		return len(b), nil
	}
	return l.w.Write(b)
}

// readable writes a size for people.
func readable(bytes int64) string {
	value, unit := float64(bytes), "bytes"
	for _, larger := range []string{"KiB", "MiB", "GiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, larger
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + unit
}
