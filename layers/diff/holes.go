package diff

import (
	"bytes"
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

const (
	// holeBlock is the unit in which zeros are looked for, in bytes.
	holeBlock = 64 << 10
	// minHoles is how many bytes of zeros make a file worth writing sparsely.
	minHoles = 1 << 20
	// maxExtents keeps a file of many holes from taking memory.
	maxExtents = 10_000
)

// extent is a part of a file: the bytes from the first, up to the last one
// excluded.
type extent struct{ from, to int64 }

// holeFinder is written a file's content and finds the parts that are not
// zeros. What it finds depends on the content alone.
type holeFinder struct {
	offset int64
	block  int64 // in which zeros are looked for, holeBlock at first
	data   []extent
}

func (f *holeFinder) Write(p []byte) (int, error) {
	written := len(p)
	f.block = max(f.block, holeBlock)
	for len(p) > 0 {
		n := min(int64(len(p)), f.block-f.offset%f.block)
		if !isZero(p[:n]) {
			f.mark()
		}
		f.offset += n
		p = p[n:]
	}
	return written, nil
}

// mark notes that the block at the offset has data. When there are too many
// parts, those that are nearest to each other become one.
func (f *holeFinder) mark() {
	if len(f.data) == maxExtents && f.data[maxExtents-1].to < f.offset-f.offset%f.block {
		f.coarsen()
	}
	f.data = addExtent(f.data, f.offset, f.offset+1, f.block)
}

// coarsen looks for zeros in larger blocks, until half of the parts are left.
func (f *holeFinder) coarsen() {
	for len(f.data) > maxExtents/2 {
		f.block *= 2
		coarse := f.data[:0]
		for _, e := range f.data {
			coarse = addExtent(coarse, e.from, e.to, f.block)
		}
		f.data = coarse
	}
}

// addExtent adds the whole blocks that a part touches, which is not before
// the last one.
func addExtent(data []extent, from, to, block int64) []extent {
	from, to = from-from%block, to+(block-to%block)%block
	if last := len(data) - 1; last >= 0 && data[last].to >= from {
		data[last].to = max(data[last].to, to)
		return data
	}
	return append(data, extent{from, to})
}

// extents returns the parts with data, or nil if there is too little else.
func (f *holeFinder) extents() []extent {
	if len(f.data) == 0 || f.data[len(f.data)-1].to < f.offset {
		// An empty part at the end says how long the file is.
		f.data = append(f.data, extent{f.offset, f.offset})
	}
	f.data[len(f.data)-1].to = min(f.data[len(f.data)-1].to, f.offset)
	if f.offset-dataSize(f.data) < minHoles {
		return nil
	}
	return f.data
}

func dataSize(data []extent) (size int64) {
	for _, e := range data {
		size += e.to - e.from
	}
	return size
}

// isZero compares a slice with itself, shifted by one: that is one call of
// code that compares many bytes at once.
func isZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
