package drift

import (
	"archive/tar"
	"bufio"
	"bytes"
	"io"
	"os"
)

// newSpill is a file without a name, for content whose fate is not known yet.
func newSpill() (*os.File, error) {
	f, err := os.CreateTemp("", "vauban-drift-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// head keeps the first bytes that it gets.
type head struct {
	b    *bytes.Buffer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.b.Write(p[:n])
	h.left -= n
	return len(p), nil
}

// copyComparing copies r to w and reports whether old, if there is one, has the
// same content.
func copyComparing(w io.Writer, r io.Reader, old *os.File) (same bool, err error) {
	if old == nil {
		_, err := io.Copy(w, r)
		return false, err
	}
	before := bufio.NewReaderSize(old, 256<<10)
	same = true
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := r.Read(a)
		if same && n > 0 {
			m, _ := io.ReadFull(before, b[:n])
			same = bytes.Equal(a[:n], b[:m])
		}
		if _, err := w.Write(a[:n]); err != nil {
			return false, err
		}
		if err == io.EOF {
			_, more := before.ReadByte()
			return same && more == io.EOF, nil
		} else if err != nil {
			return false, err
		}
	}
}

// archiveFile puts a file with its content into the archive.
func (c *comparison) archiveFile(h *tar.Header, name string, content io.ReadSeeker) error {
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := c.archive(h, name); err != nil {
		return err
	}
	_, err := io.Copy(c.options.Archive, content)
	return err
}

// archive puts an entry into the archive under its clean name.
func (c *comparison) archive(h *tar.Header, name string) error {
	if c.options.Archive == nil {
		return nil
	}
	out := *h
	out.Name, out.Format = name, tar.FormatPAX
	if h.Typeflag == tar.TypeDir {
		out.Name += "/"
	}
	if h.Typeflag == tar.TypeLink {
		target, err := clean(h.Linkname)
		if err != nil {
			return err
		}
		out.Linkname = target
	}
	out.Uname, out.Gname = "", ""
	out.PAXRecords = map[string]string{}
	for record, value := range h.PAXRecords {
		if len(record) > len(attr) && record[:len(attr)] == attr {
			out.PAXRecords[record] = value
		}
	}
	return c.options.Archive.WriteHeader(&out)
}
