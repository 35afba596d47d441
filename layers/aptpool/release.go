package aptpool

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	// maxRelease bounds a release file, in bytes: sid's has 200 KiB.
	maxRelease = 8 << 20
	// maxIndexes bounds the files that one names.
	maxIndexes = 100_000
	// maxLine bounds a line of an index, in bytes.
	maxLine = 1 << 20
	// maxSkew is how far the mirror's clock may be ahead of ours.
	maxSkew = 24 * time.Hour
)

var errUnsigned = errors.New("it has no signature of a trusted key")

// release is what a signed release file says.
// Source: https://wiki.debian.org/DebianRepository/Format
type release struct {
	suite, codename string
	date            time.Time
	until           time.Time // zero: for ever
	indexes         map[string]index
}

// index is a file that a release names.
type index struct {
	size int64
	sha  [32]byte
}

// readInRelease returns what the text of an InRelease file says, all of which
// a trusted key must have signed.
func readInRelease(text []byte, keys openpgp.EntityList, now time.Time) (*release, error) {
	// apt reads such files line by line: nothing may stand around what is signed.
	if !bytes.HasPrefix(text, []byte("-----BEGIN PGP SIGNED MESSAGE-----\n")) {
		return nil, errUnsigned
	}
	block, rest := clearsign.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errUnsigned
	}
	if err := verify(keys, bytes.NewReader(block.Bytes), block.ArmoredSignature.Body, now); err != nil {
		return nil, err
	}
	return parseRelease(block.Plaintext)
}

// verify wants one good signature of a trusted key.
func verify(keys openpgp.EntityList, signed, signature io.Reader, now time.Time) error {
	config := &packet.Config{Time: func() time.Time { return now }}
	if _, err := openpgp.CheckDetachedSignature(keys, signed, signature, config); err != nil {
		return fmt.Errorf("%w: %w", errUnsigned, err)
	}
	return nil
}

// parseRelease reads fields and the SHA256 sums, and leaves the rest.
func parseRelease(text []byte) (*release, error) {
	r := &release{indexes: map[string]index{}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxLine)
	section := ""
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, " ") {
			if section != "SHA256" {
				continue
			}
			if err := r.addIndex(line); err != nil {
				return nil, err
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		section = name
		if err := r.set(name, strings.TrimSpace(value)); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if r.date.IsZero() {
		return nil, errors.New("it has no Date")
	}
	return r, nil
}

func (r *release) set(name, value string) (err error) {
	switch name {
	case "Suite":
		r.suite = value
	case "Codename":
		r.codename = value
	case "Date":
		r.date, err = parseDate(value)
	case "Valid-Until":
		r.until, err = parseDate(value)
	}
	return err
}

func parseDate(value string) (time.Time, error) {
	at, err := time.Parse("Mon, _2 Jan 2006 15:04:05 MST", value)
	if err != nil {
		return at, fmt.Errorf("%q is not a date", value)
	}
	return at, nil
}

func (r *release) addIndex(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return fmt.Errorf("%q is not a digest, a size and a name", line)
	}
	var one index
	sum, err := hex.DecodeString(fields[0])
	if err != nil || len(sum) != len(one.sha) {
		return fmt.Errorf("%q is not a SHA256", fields[0])
	}
	copy(one.sha[:], sum)
	if one.size, err = strconv.ParseInt(fields[1], 10, 64); err != nil || one.size < 0 {
		return fmt.Errorf("%q is not a size", fields[1])
	}
	if len(r.indexes) == maxIndexes {
		return fmt.Errorf("it names more than %d files", maxIndexes)
	}
	r.indexes[fields[2]] = one
	return nil
}

// check says whether the release may be the one that apt keeps under a file
// name: signed for that suite, and neither expired nor of the future.
func (r *release) check(name string, now time.Time, everValid bool) error {
	_, dist, found := strings.Cut(name, "_dists_")
	dist = unescape(strings.TrimSuffix(strings.TrimSuffix(dist, "Release"), "In"))
	dist = strings.TrimSuffix(dist, "/")
	switch {
	case !found || dist == "":
		return errors.New("the repository has no suites, so its release file does not identify itself")
	case dist != r.suite && dist != r.codename:
		return fmt.Errorf("it is of the suite %q, not of %q", r.codename, dist)
	case r.date.After(now.Add(maxSkew)):
		return fmt.Errorf("it is dated %s, which is not yet", r.date.Format(time.DateOnly))
	case !everValid && !r.until.IsZero() && now.After(r.until):
		return fmt.Errorf("it expired on %s", r.until.Format(time.DateOnly))
	}
	return nil
}

// unescape is the path of a file name of apt's lists.
func unescape(name string) string {
	path := strings.ReplaceAll(name, "_", "/")
	for escaped, plain := range map[string]string{"%5f": "_", "%5F": "_", "%7e": "~", "%3a": ":", "%2b": "+"} {
		path = strings.ReplaceAll(path, escaped, plain)
	}
	return path
}
