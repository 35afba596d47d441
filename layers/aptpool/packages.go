package aptpool

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxPackages bounds the packages of an index: all of Debian for one
// architecture has 65,000.
const maxPackages = 2_000_000

// deb is one package as lists name it: apt's name of its file, size and digest.
type deb struct {
	name string
	size int64
	sha  [32]byte
}

var (
	packageName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+.-]*$`)
	version      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~:-]*$`)
	architecture = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// archiveName is the file that apt keeps a package in, "" for what can have
// none: NAME_VERSION_ARCHITECTURE.deb, the epoch's colon escaped.
func archiveName(name, v, arch string) string {
	if !packageName.MatchString(name) || !version.MatchString(v) || !architecture.MatchString(arch) {
		return ""
	}
	return name + "_" + strings.ReplaceAll(v, ":", "%3a") + "_" + arch + ".deb"
}

// parsePackages gives each package of an index to add. What it cannot read of
// one leaves that out.
// Source: https://wiki.debian.org/DebianRepository/Format
func parsePackages(r io.Reader, add func(deb)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var name, v, arch, size, sum string
	fields := []struct {
		name []byte
		to   *string
	}{
		{[]byte("Package: "), &name}, {[]byte("Version: "), &v}, {[]byte("Architecture: "), &arch},
		{[]byte("Size: "), &size}, {[]byte("SHA256: "), &sum},
	}
	count := 0
	end := func() error {
		if name == "" {
			return nil
		}
		if count++; count > maxPackages {
			return fmt.Errorf("more than %d packages", maxPackages)
		}
		one := deb{name: archiveName(name, v, arch)}
		n, err := strconv.ParseInt(size, 10, 64)
		digest, sumErr := hex.DecodeString(sum)
		if one.size = n; err == nil && sumErr == nil && n > 0 && len(digest) == len(one.sha) && one.name != "" {
			copy(one.sha[:], digest)
			add(one)
		}
		name, v, arch, size, sum = "", "", "", "", ""
		return nil
	}
	for lines.Scan() {
		line := lines.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			if err := end(); err != nil {
				return err
			}
			continue
		}
		for _, f := range fields {
			if bytes.HasPrefix(line, f.name) {
				*f.to = string(bytes.TrimSpace(line[len(f.name):]))
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return end()
}

// recordSize is that of a package in a file of [named]: 16 bytes of the digest
// of its name, the size, the digest.
const recordSize = 16 + 8 + 32

// named are the packages that signed lists name, sorted by the digest of the
// name, so that a million cost a few megabytes and no parsing.
type named []byte

func (d deb) record() []byte {
	key := sha256.Sum256([]byte(d.name))
	record := append(make([]byte, 0, recordSize), key[:16]...)
	record = binary.BigEndian.AppendUint64(record, uint64(d.size))
	return append(record, d.sha[:]...)
}

// makeNamed sorts records.
func makeNamed(records [][]byte) named {
	slices.SortFunc(records, bytes.Compare)
	return bytes.Join(slices.CompactFunc(records, bytes.Equal), nil)
}

// find returns what lists name so.
func (n named) find(name string) (found []deb) {
	key := sha256.Sum256([]byte(name))
	count := len(n) / recordSize
	at := func(i int) []byte { return n[i*recordSize : (i+1)*recordSize] }
	low, high := 0, count
	for low < high {
		if middle := (low + high) / 2; bytes.Compare(at(middle)[:16], key[:16]) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	for ; low < count && bytes.Equal(at(low)[:16], key[:16]); low++ {
		d := deb{name: name, size: int64(binary.BigEndian.Uint64(at(low)[16:24]))}
		copy(d.sha[:], at(low)[24:])
		found = append(found, d)
	}
	return found
}
