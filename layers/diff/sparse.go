package diff

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// sparseReader reads a file without reading its holes from the disk. It must
// not be used by several goroutines.
type sparseReader struct {
	ctx              context.Context // of one reading, which ends with it
	file             *os.File
	offset, size     int64
	dataFrom, dataTo int64 // the part with data that offset is in or before
	hasHoles         bool
}

func newSparseReader(ctx context.Context, file *os.File, st *unix.Stat_t) *sparseReader {
	const blockSize = 512 // of Stat_t, whatever the filesystem's is
	return &sparseReader{ctx: ctx, file: file, size: st.Size, hasHoles: st.Blocks*blockSize < st.Size}
}

func (r *sparseReader) Close() error { return r.file.Close() }

func (r *sparseReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.offset == r.size {
		return 0, io.EOF
	}
	if r.offset >= r.dataTo {
		if err := r.findData(); err != nil {
			return 0, err
		}
	}
	if r.offset < r.dataFrom {
		p = p[:min(int64(len(p)), r.dataFrom-r.offset)]
		clear(p)
		r.offset += int64(len(p))
		return len(p), nil
	}
	p = p[:min(int64(len(p)), r.dataTo-r.offset)]
	n, err := r.file.ReadAt(p, r.offset)
	r.offset += int64(n)
	if errors.Is(err, io.EOF) && r.offset < r.size {
		return n, errChanged
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// findData finds the next part with data.
func (r *sparseReader) findData() error {
	r.dataFrom, r.dataTo = r.offset, r.size
	if !r.hasHoles {
		return nil
	}
	from, err := r.file.Seek(r.offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		r.dataFrom = r.size // a hole up to the end
		return nil
	case errors.Is(err, unix.EINVAL):
		return nil // a filesystem that does not tell
	case err != nil:
		return err
	}
	to, err := r.file.Seek(from, unix.SEEK_HOLE)
	if err != nil {
		return err
	}
	r.dataFrom, r.dataTo = min(from, r.size), min(to, r.size)
	return nil
}
