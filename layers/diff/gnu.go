package diff

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const tarBlock = 512

// maxOctal is the largest size that a header holds without an extension.
const maxOctal = 1<<33 - 1

// gnuHeader makes a header for GNU tar, which escapes two characters in the
// names of extended attributes, as PAX records cannot hold the second.
func gnuHeader(m *meta, path string) *tar.Header {
	escaped := *m
	escaped.xattrs = make(map[string]string, len(m.xattrs))
	escape := strings.NewReplacer("%", "%25", "=", "%3D")
	for name, value := range m.xattrs {
		escaped.xattrs[escape.Replace(name)] = value
	}
	return escaped.header(path)
}

// sparseWriter writes sparse files, which archive/tar cannot, into the tar
// that another writer makes. Without it a file of holes would fill the memory
// of the machine that unpacks the difference into it.
// Source: https://www.gnu.org/software/tar/manual/html_node/PAX-1.html
type sparseWriter struct {
	out    io.Writer
	tar    *tar.Writer // which writes to out
	buffer []byte
}

// canWrite reports whether a file's data fits.
func (w *sparseWriter) canWrite(data []extent) bool {
	return data != nil && dataSize(data)+int64(len(sparseMap(data))) <= maxOctal
}

// write writes one file. Its header is a stub, and what it stands for is in
// the extension before it.
func (w *sparseWriter) write(m *meta, path string, data []extent, content io.Reader) error {
	list := sparseMap(data)
	records := maps.Clone(gnuHeader(m, path).PAXRecords)
	if records == nil {
		records = make(map[string]string)
	}
	maps.Copy(records, map[string]string{
		"GNU.sparse.major":    "1",
		"GNU.sparse.minor":    "0",
		"GNU.sparse.name":     path,
		"GNU.sparse.realsize": strconv.FormatInt(m.size, 10),
		"uid":                 strconv.Itoa(m.uid),
		"gid":                 strconv.Itoa(m.gid),
		"mtime":               strconv.FormatInt(m.mtime, 10),
	})
	if err := w.extension(records); err != nil {
		return err
	}
	stub := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     "GNUSparseFile.0/sparse",
		Mode:     m.mode,
		Size:     int64(len(list)) + dataSize(data),
		Format:   tar.FormatUSTAR,
	}
	if err := w.tar.WriteHeader(stub); err != nil {
		return err
	}
	if _, err := io.WriteString(w.tar, list); err != nil {
		return err
	}
	return w.data(m.size, data, content)
}

// data copies the parts with data and passes over the others.
func (w *sparseWriter) data(size int64, data []extent, content io.Reader) error {
	skip := struct{ io.Writer }{io.Discard} // which would bring its own buffer
	offset := int64(0)
	copyTo := func(to io.Writer, end int64) error {
		n, err := io.CopyBuffer(to, io.LimitReader(content, end-offset), w.buffer)
		if offset += n; err == nil && offset != end {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	for _, e := range data {
		if err := copyTo(skip, e.from); err != nil {
			return err
		}
		if err := copyTo(w.tar, e.to); err != nil {
			return err
		}
	}
	return copyTo(skip, size)
}

// extension writes a PAX header for the entry that follows.
func (w *sparseWriter) extension(records map[string]string) error {
	if err := w.tar.Flush(); err != nil {
		return err
	}
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(records)) {
		b.WriteString(paxRecord(key, records[key]))
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders.0/sparse", Size: int64(b.Len()), Mode: 0o644, Format: tar.FormatUSTAR}
	block, err := extensionBlock(header)
	if err != nil {
		return err
	}
	if _, err := w.out.Write(block); err != nil {
		return err
	}
	b.Write(make([]byte, padding(b.Len())))
	_, err = w.out.Write(b.Bytes())
	return err
}

// extensionBlock turns a file's header into an extension's, which archive/tar
// does not let its users write.
func extensionBlock(h *tar.Header) ([]byte, error) {
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, err
	}
	block := b.Bytes()[:tarBlock]
	const kindAt, sumFrom, sumTo = 156, 148, 156
	block[kindAt] = tar.TypeXHeader
	copy(block[sumFrom:sumTo], "        ")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[sumFrom:sumTo], fmt.Sprintf("%06o\x00 ", sum))
	return block, nil
}

// paxRecord is "LENGTH KEY=VALUE\n", where the length counts its own digits.
func paxRecord(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	length := len(rest)
	for n := 0; n != length; {
		n = length
		length = len(strconv.Itoa(n)) + len(rest)
	}
	return strconv.Itoa(length) + rest
}

// sparseMap lists the parts with data, in whole blocks.
func sparseMap(data []extent) string {
	var b strings.Builder
	fmt.Fprintln(&b, len(data))
	for _, e := range data {
		fmt.Fprintf(&b, "%d\n%d\n", e.from, e.to-e.from)
	}
	b.WriteString(strings.Repeat("\x00", padding(b.Len())))
	return b.String()
}

func padding(size int) int { return -size & (tarBlock - 1) }
