package scan

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
)

// A Needle is a string that is looked for.
type Needle struct {
	// Name is what it is reported as. Several needles may have one name.
	Name string
	// Text is what is looked for, as it is. Less than MinText is ignored.
	Text string
	// Word finds it only in texts, and only where it stands alone: an address
	// is not found in a longer one.
	Word bool
	// Value finds it only in texts, and only as the value of something that
	// is named like a credential, or like the first word of Name.
	Value bool
}

// fits reports whether what is found at a place counts. First and last say
// whether the text begins and ends with data.
func (n Needle) fits(data []byte, at int, first, last bool) bool {
	switch {
	case n.Value:
		return isValue(data, at, n, first, last)
	case n.Word:
		return standsAlone(data, at, len(n.Text), first, last)
	}
	return true
}

// anywhere reports whether it counts wherever it is found.
func (n Needle) anywhere() bool { return !n.Word && !n.Value }

// MinText is how many bytes the text of a needle has at least.
const MinText = 4

// chunk is how much of a file is looked at at once, in bytes.
const chunk = 256 << 10

const (
	// lookahead is how many bytes after a word report whether it ends there.
	lookahead = 2
	// lookbehind is how many bytes before a value tell what it is the value of.
	lookbehind = 64
)

// Matcher finds any number of needles in one pass, most of which it skips: it
// looks at two bytes, and moves on as far as no needle can end before. It is
// not changed by its use.
// Source: S. Wu, U. Manber, A fast algorithm for multi-pattern searching, 1994
type Matcher struct {
	needles  []Needle
	shortest int
	longest  int
	shift    []uint8            // by two bytes: how far to the next place to look at
	ending   map[uint16][]int32 // needles whose first shortest bytes end in the two
}

// New prepares a search.
func New(needles []Needle) *Matcher {
	m := &Matcher{ending: map[uint16][]int32{}}
	for _, n := range needles {
		if len(n.Text) < MinText {
			continue
		}
		m.needles = append(m.needles, n)
		m.longest = max(m.longest, len(n.Text))
		if m.shortest == 0 || len(n.Text) < m.shortest {
			m.shortest = len(n.Text)
		}
	}
	m.shortest = min(m.shortest, 255)
	if len(m.needles) == 0 {
		return m
	}
	m.shift = bytes.Repeat([]byte{uint8(m.shortest - 1)}, 1<<16)
	for i, n := range m.needles {
		for end := 1; end < m.shortest; end++ {
			pair := pairAt(n.Text, end)
			m.shift[pair] = min(m.shift[pair], uint8(m.shortest-1-end))
		}
		last := pairAt(n.Text, m.shortest-1)
		m.ending[last] = append(m.ending[last], int32(i))
	}
	return m
}

func pairAt[T string | []byte](s T, end int) uint16 { return uint16(s[end-1])<<8 | uint16(s[end]) }

// search calls found for each needle in data, and where it begins.
func (m *Matcher) search(data []byte, found func(needle, at int)) {
	if len(m.needles) == 0 {
		return
	}
	for end := m.shortest - 1; end < len(data); {
		pair := pairAt(data, end)
		if s := m.shift[pair]; s > 0 {
			end += int(s)
			continue
		}
		at := end - m.shortest + 1
		for _, i := range m.ending[pair] {
			if strings.HasPrefix(m.needles[i].Text, string(data[at:end+1])) && bytes.HasPrefix(data[at:], []byte(m.needles[i].Text)) {
				found(int(i), at)
			}
		}
		end++
	}
}

// Find returns the names of the needles in what r reads, sorted.
func (m *Matcher) Find(r io.Reader) ([]string, error) {
	if len(m.needles) == 0 {
		_, err := io.Copy(io.Discard, r)
		return nil, err
	}
	return m.find(r, make([]byte, m.bufferSize()))
}

func (m *Matcher) bufferSize() int { return m.keep() + chunk }

// keep is how much of a chunk is looked at again with the next one.
func (m *Matcher) keep() int { return lookbehind + m.longest + lookahead }

func (m *Matcher) find(r io.Reader, buffer []byte) ([]string, error) {
	var names []string
	kept, first, isText := 0, true, true
	for {
		n, err := io.ReadFull(r, buffer[kept:])
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return nil, err
		}
		data := buffer[:kept+n]
		if first {
			isText = bytes.IndexByte(data, 0) < 0
		}
		m.search(data, func(i, at int) {
			needle := m.needles[i]
			if !needle.anywhere() && !isText || !needle.fits(data, at, first, last) || slices.Contains(names, needle.Name) {
				return
			}
			names = append(names, needle.Name)
		})
		if last {
			slices.Sort(names)
			return names, nil
		}
		kept = copy(buffer, data[max(0, len(data)-m.keep()):])
		first = false
	}
}

// standsAlone reports whether what is found is not a part of a longer word. Where
// the neighbours are not in data, it is looked at with another chunk too.
func standsAlone(data []byte, at, size int, first, last bool) bool {
	if at == 0 {
		if !first {
			return false
		}
	} else if before := data[at-1]; isWord(before) || before == '.' {
		return false
	}
	rest := data[at+size:]
	if len(rest) < lookahead && !last {
		return false
	}
	if len(rest) == 0 {
		return true
	}
	if rest[0] != '.' {
		return !isWord(rest[0])
	}
	// The end of a sentence, or a further part of an address.
	return len(rest) == 1 || rest[1] < '0' || rest[1] > '9'
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-'
}
