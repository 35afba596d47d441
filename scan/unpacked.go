package scan

import (
	"bufio"
	"bytes"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow bounds the memory that unpacking takes, in bytes.
const maxWindow = 128 << 20

// FindUnpacked is [Matcher.Find] in what is packed by gzip, xz or zstd, in up to
// limit bytes of it. What is not packed, or not any more, is not looked at.
func (m *Matcher) FindUnpacked(r io.Reader, limit int64) ([]string, error) {
	packed := bufio.NewReader(r)
	head, _ := packed.Peek(6)
	var plain io.Reader
	var err error
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		plain, err = gzip.NewReader(packed)
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		plain, err = xz.NewReader(packed)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		var z *zstd.Decoder
		z, err = zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			defer z.Close()
			plain = z
		}
	}
	if err != nil || plain == nil {
		return nil, nil // it only begins like a packed file
	}
	names, err := m.Find(io.LimitReader(untilError{plain}, limit))
	return slices.Compact(names), err
}

// untilError ends where what it reads is not packed any more: padding, or
// another archive.
type untilError struct{ io.Reader }

// Read implements io.Reader.
func (u untilError) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}
