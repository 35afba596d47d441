package scan

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// A Finding is a needle in a file.
type Finding struct {
	Path string // relative to the root
	Name string // the needle's
}

func (f Finding) String() string { return fmt.Sprintf("/%s: %s", f.Path, f.Name) }

// Tar looks for the needles in the files of a tar, their names, their links'
// targets and their extended attributes. It reads to the end. What is
// compressed or encrypted is not looked into.
func (m *Matcher) Tar(r io.Reader) ([]Finding, error) {
	var all []Finding
	buffer := make([]byte, m.bufferSize())
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			// What follows the last entry is the writer's last word.
			_, err := io.Copy(io.Discard, r)
			return all, err
		} else if err != nil {
			return nil, err
		}
		var names []string
		for _, text := range [][]byte{[]byte(h.Name), []byte(h.Linkname), attributes(h)} {
			m.search(text, func(i, _ int) {
				if m.needles[i].anywhere() {
					names = append(names, m.needles[i].Name)
				}
			})
		}
		if len(m.needles) > 0 && h.Typeflag == tar.TypeReg {
			inside, err := m.find(entries, buffer)
			if err != nil {
				return nil, err
			}
			names = append(names, inside...)
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			all = append(all, Finding{strings.TrimPrefix(path.Clean("/"+h.Name), "/"), name})
		}
	}
}

func attributes(h *tar.Header) []byte {
	var text []byte
	for _, name := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		text = append(append(text, h.PAXRecords[name]...), '\n')
	}
	return text
}
