package diff

import (
	"archive/tar"
	"strings"
)

// gnuHeader makes a header for GNU tar, which escapes two characters in the
// names of extended attributes, as PAX records cannot hold the second.
func gnuHeader(m *meta, path string) *tar.Header {
	escaped := *m
	escaped.xattrs = nil
	for name, value := range m.xattrs {
		if escaped.xattrs == nil {
			escaped.xattrs = make(map[string]string, len(m.xattrs))
		}
		escaped.xattrs[strings.NewReplacer("%", "%25", "=", "%3D").Replace(name)] = value
	}
	return escaped.header(path)
}
