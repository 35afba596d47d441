package export

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// storedSize reads a tar for archive/tar and finds out how many bytes of an
// entry's content are in the stream: of a sparse file archive/tar tells only
// how long it is.
type storedSize struct {
	io.Reader
	skip    int64  // of the current entry's content, with its padding
	headers []byte // what was read after it
}

// Read implements io.Reader.
func (s *storedSize) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	content := min(s.skip, int64(n))
	s.skip -= content
	s.headers = append(s.headers, p[content:n]...)
	return n, err
}

const tarBlock = 512

// of returns the size for the header that archive/tar has just read.
func (s *storedSize) of(h *tar.Header) (size int64, err error) {
	switch {
	case h.Typeflag != tar.TypeReg:
	case h.PAXRecords["GNU.sparse.major"] != "":
		size, err = s.sparse()
	default:
		size = h.Size
	}
	s.skip = (size + tarBlock - 1) / tarBlock * tarBlock
	s.headers = s.headers[:0]
	return size, err
}

// sparse reads the size of a sparse file from its headers: an extension, the
// file's own, and a map that belongs to the content.
// Source: https://www.gnu.org/software/tar/manual/html_node/PAX-1.html
func (s *storedSize) sparse() (int64, error) {
	rest := s.headers
	for len(rest) >= tarBlock {
		size, err := octal(rest[124:136])
		if err != nil {
			return 0, err
		}
		kind := rest[156]
		rest = rest[tarBlock:]
		if kind != tar.TypeXHeader {
			return max(0, size-int64(len(rest))), nil
		}
		rest = rest[min(int64(len(rest)), (size+tarBlock-1)/tarBlock*tarBlock):]
	}
	return 0, errors.New("the header of a sparse file is not complete")
}

// octal reads a number of a tar header.
func octal(field []byte) (int64, error) {
	size, err := strconv.ParseUint(strings.Trim(string(field), " \x00"), 8, 62)
	if err != nil {
		return 0, fmt.Errorf("the size in the header is %q", field)
	}
	return int64(size), nil
}
