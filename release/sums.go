package release

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// SHA256SUMS has the form that sha256sum writes and checks: 64 hexadecimal
// digits, two spaces, a file name. An initramfs reads it with grep.

// encodeSums writes one line for each file, in the order given.
func encodeSums(files []File) []byte {
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "%s  %s\n", f.Digest.Encoded(), f.Name)
	}
	return b.Bytes()
}

// ParseSums reads a SHA256SUMS: digests by file name. A line of another form,
// a name given twice, a name with a slash, or a missing end of line is an
// error.
func ParseSums(b []byte) (map[string]digest.Digest, error) {
	sums := map[string]digest.Digest{}
	text := string(b)
	for n := 1; text != ""; n++ {
		line, rest, complete := strings.Cut(text, "\n")
		text = rest
		sum, name, ok := strings.Cut(line, "  ")
		d := digest.NewDigestFromEncoded(digest.SHA256, sum)
		if !complete || !ok || d.Validate() != nil || !nameForm.MatchString(name) {
			return nil, fmt.Errorf("%s:%d: %q is not a digest, two spaces and a file name", sumsName, n, line)
		}
		if _, twice := sums[name]; twice {
			return nil, fmt.Errorf("%s:%d: %q is listed twice", sumsName, n, name)
		}
		sums[name] = d
	}
	return sums, nil
}
