package decompress

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// xzWalker is an xz file as it is, which fails before a block that needs more
// than [Window]. It only knows where blocks begin: whether anything else is
// right is its reader's to say.
// Source: https://tukaani.org/xz/xz-file-format.txt
type xzWalker struct {
	in      *bufio.Reader
	part    []byte                // read already, not given yet
	skip    int64                 // bytes that are given as they are
	next    func(*xzWalker) error // reads the next part
	checks  int64                 // bytes of the check after a block
	inBlock int64                 // compressed bytes of this block
	inIndex int64                 // bytes of the index
	numbers uint64                // that the index has yet
}

func newXZWalker(file io.Reader) *xzWalker {
	return &xzWalker{in: bufio.NewReaderSize(file, 64<<10), next: (*xzWalker).stream}
}

// Read implements io.Reader.
func (x *xzWalker) Read(p []byte) (int, error) {
	for len(p) > 0 && len(x.part) == 0 && x.skip == 0 {
		if err := x.next(x); err != nil {
			return 0, err
		}
	}
	if len(x.part) > 0 {
		n := copy(p, x.part)
		x.part = x.part[n:]
		return n, nil
	}
	n, err := x.in.Read(p[:min(int64(len(p)), x.skip)])
	x.skip -= int64(n)
	return n, cutOff(err)
}

// cutOff is about the end of a file where none may be: the library takes one
// between two blocks for the end.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take reads more of a part.
func (x *xzWalker) take(n int) error {
	had := len(x.part)
	x.part = append(x.part, make([]byte, n)...)
	_, err := io.ReadFull(x.in, x.part[had:])
	return cutOff(err)
}

// stream reads the header of a stream, or padding between two.
func (x *xzWalker) stream() error {
	x.part = nil
	if _, err := x.in.Peek(1); err != nil {
		return err // the end, where one may be
	}
	if err := x.take(4); err != nil || bytes.Equal(x.part, make([]byte, 4)) {
		return err
	}
	if err := x.take(8); err != nil {
		return err
	}
	x.checks = 0
	if id := x.part[7] & 0xf; id > 0 {
		x.checks = 4 << ((id - 1) / 3)
	}
	x.next = (*xzWalker).block
	return nil
}

// block reads the header of a block, or the beginning of the index.
func (x *xzWalker) block() error {
	x.part = nil
	if err := x.take(1); err != nil {
		return err
	}
	if x.part[0] == 0 {
		return x.index()
	}
	if err := x.take((int(x.part[0])+1)*4 - 1); err != nil {
		return err
	}
	x.inBlock, x.next = 0, (*xzWalker).chunk
	return checkXZBlock(x.part)
}

// checkXZBlock reads the window in the header of a block.
func checkXZBlock(header []byte) error {
	flags, rest := header[1], bytes.NewReader(header[2:])
	fields := 2 // the filter's identifier and the size of its properties
	for _, sized := range []byte{0x40, 0x80} {
		if flags&sized != 0 {
			fields++
		}
	}
	var last [4]uint64
	for i := range fields {
		value, err := binary.ReadUvarint(rest)
		if err != nil {
			return fmt.Errorf("reading the header of an xz block: %w", err)
		}
		last[i] = value
	}
	bits, err := rest.ReadByte()
	if flags&3 != 0 || last[fields-2] != 0x21 || last[fields-1] != 1 || err != nil {
		return errors.New("the xz file has filters besides LZMA2")
	}
	window := uint64(2|bits&1) << (bits/2 + 11)
	if bits >= 40 {
		window = 1 << 32
	}
	if window > Window {
		return fmt.Errorf("%w: a window of %d MiB, at most %d", ErrWindow, window>>20, Window>>20)
	}
	return nil
}

// chunk reads the header of a piece of a block, or the block's end.
func (x *xzWalker) chunk() error {
	x.part = nil
	if err := x.take(1); err != nil {
		return err
	}
	x.inBlock++
	control := x.part[0]
	if control == 0 {
		x.skip = (4-x.inBlock%4)%4 + x.checks
		x.next = (*xzWalker).block
		return nil
	}
	header := 2
	if control >= 0x80 {
		header = 4
	}
	if control >= 0xc0 {
		header = 5
	}
	if err := x.take(header); err != nil {
		return err
	}
	size := x.part[1:3]
	if control >= 0x80 {
		size = x.part[3:5]
	}
	x.skip = int64(binary.BigEndian.Uint16(size)) + 1
	x.inBlock += int64(header) + x.skip
	return nil
}

// index reads how many records the index has, two numbers each.
func (x *xzWalker) index() error {
	count, err := x.number()
	x.inIndex, x.numbers = int64(len(x.part)), 2*count
	x.next = (*xzWalker).record
	return err
}

// record reads a number of the index, or the end of the stream.
func (x *xzWalker) record() error {
	x.part = nil
	if x.numbers == 0 {
		const checksum, footer = 4, 12
		x.skip = (4-x.inIndex%4)%4 + checksum + footer
		x.next = (*xzWalker).stream
		return nil
	}
	_, err := x.number()
	x.numbers--
	x.inIndex += int64(len(x.part))
	return err
}

// number takes one of the index.
func (x *xzWalker) number() (value uint64, err error) {
	for shift := 0; shift < 63; shift += 7 {
		if err := x.take(1); err != nil {
			return 0, err
		}
		last := x.part[len(x.part)-1]
		if value |= uint64(last&0x7f) << shift; last < 0x80 {
			return value, nil
		}
	}
	return 0, errors.New("the index of the xz file has a number that is too large")
}
