package aptpool

import (
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// errNotNamed is about a file that the release does not name.
var errNotNamed = errors.New("the signed release does not name it")

// maxWindow bounds what a list may make a decompressor hold, in bytes.
const maxWindow = 64 << 20

// maxOverhead is by how much a list may grow when it is compressed, in bytes.
const maxOverhead = 1 << 20

// compressions are the ways in which apt keeps lists, by the end of their
// names: with Acquire::GzipIndexes it compresses them itself, by lz4.
var compressions = map[string]func(io.Reader) (io.Reader, error){
	".lz4": func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil },
	".gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	".xz":  func(r io.Reader) (io.Reader, error) { return xz.ReaderConfig{DictCap: maxWindow}.NewReader(r) },
	".zst": func(r io.Reader) (io.Reader, error) {
		return zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	},
}

// compression gives the name of a list when it is unpacked, and what does that.
func compression(name string) (plain string, unpack func(io.Reader) (io.Reader, error)) {
	for suffix, unpack := range compressions {
		if plain, found := strings.CutSuffix(name, suffix); found {
			return plain, unpack
		}
	}
	return name, func(r io.Reader) (io.Reader, error) { return r, nil }
}
