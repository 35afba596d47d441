package aptpool

import (
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"

	"vauban/internal/decompress"
)

// errNotNamed is about a file that the release does not name.
var errNotNamed = errors.New("the signed release does not name it")

// maxOverhead is by how much a list may grow when it is compressed, in bytes.
const maxOverhead = 1 << 20

// compressions are the ways in which apt keeps lists, by the end of their
// names: with Acquire::GzipIndexes it compresses them itself, by lz4.
var compressions = map[string]func(io.Reader) (io.Reader, error){
	".lz4": func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil },
	".gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	".xz":  decompress.XZ,
	".zst": func(r io.Reader) (io.Reader, error) { return decompress.Zstd(r) },
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
