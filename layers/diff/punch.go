package diff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// MinSparse is the size of the smallest file that gets holes, in bytes.
const MinSparse = minHoles

// Holes finds where a file, whose content it is written, may have holes. Layers
// hold them as zeros.
type Holes struct{ finder holeFinder }

// Write implements io.Writer and never fails.
func (h *Holes) Write(p []byte) (int, error) { return h.finder.Write(p) }

// Found reports whether holes would save as much as is worth it. Afterwards
// nothing may be written any more.
func (h *Holes) Found() bool { return h.finder.extents() != nil }

// Punch makes the holes in a file that is open for writing, after [Holes.Found]
// was true. Only what reads as zeros becomes one, so that the content of no file
// changes, whichever it is; its times stay as they are. A filesystem without
// holes is not an error.
func (h *Holes) Punch(ctx context.Context, file *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return fmt.Errorf("making holes: %w", err)
	}
	err := h.punch(ctx, file, &st)
	times := []unix.Timespec{st.Atim, st.Mtim}
	if restoring := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/thread-self/fd/%d", file.Fd()), times, 0); restoring != nil {
		err = errors.Join(err, fmt.Errorf("making holes: restoring the times: %w", restoring))
	}
	return err
}

func (h *Holes) punch(ctx context.Context, file *os.File, st *unix.Stat_t) error {
	if st.Size != h.finder.offset {
		return nil // another entry of the layer took its place
	}
	at := int64(0)
	for _, data := range append(h.finder.data, extent{st.Size, st.Size}) {
		if data.from > at {
			zeros, err := readsAsZeros(ctx, file, st, extent{at, data.from})
			if err != nil {
				return fmt.Errorf("making holes: %w", err)
			}
			if !zeros {
				return nil // another file
			}
			err = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, data.from-at)
			if errors.Is(err, unix.EOPNOTSUPP) {
				return nil
			} else if err != nil {
				return fmt.Errorf("making holes: %w", err)
			}
		}
		at = data.to
	}
	return nil
}

// readsAsZeros reads a part of a file.
func readsAsZeros(ctx context.Context, file *os.File, st *unix.Stat_t, part extent) (bool, error) {
	r := newSparseReader(ctx, file, st)
	r.offset = part.from
	buffer := make([]byte, 1<<20)
	for left := part.to - part.from; left > 0; {
		n, err := r.Read(buffer[:min(int64(len(buffer)), left)])
		if !isZero(buffer[:n]) {
			return false, nil
		}
		left -= int64(n)
		if errors.Is(err, io.EOF) {
			return left == 0, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}
