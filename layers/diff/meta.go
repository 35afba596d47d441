package diff

import (
	"archive/tar"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

const (
	// paxXattr begins the PAX record of an extended attribute.
	paxXattr = "SCHILY.xattr."
	// paxSparse begins the PAX records of a sparse file.
	paxSparse = "GNU.sparse."
	// overlayXattr begins overlayfs' own notes, which mean something only on
	// the filesystem they were made on.
	overlayXattr  = "trusted.overlay."
	opaqueXattr   = overlayXattr + "opaque"
	redirectXattr = overlayXattr + "redirect"
	metacopyXattr = overlayXattr + "metacopy"

	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	// aufsPrefix begins notes of the filesystem that the format comes from.
	aufsPrefix = ".wh..wh."
)

// kindSocket stands for what no tar can hold.
const kindSocket = 's'

// meta is what a tar can say of a file, besides its name and content.
type meta struct {
	kind         byte // a tar.Type…, or kindSocket
	mode         int64
	uid, gid     int
	mtime        int64 // seconds since 1970
	size         int64 // of a regular file
	major, minor int64 // of a device
	target       string
	xattrs       map[string]string // without overlayfs' own
}

// defaultDir is a directory that nobody described.
func defaultDir() meta { return meta{kind: tar.TypeDir, mode: 0o755} }

// whiteout deletes a name, in overlayfs' terms.
func whiteout() meta { return meta{kind: tar.TypeChar} }

func (m *meta) isDir() bool      { return m.kind == tar.TypeDir }
func (m *meta) isRegular() bool  { return m.kind == tar.TypeReg }
func (m *meta) isWhiteout() bool { return m.kind == tar.TypeChar && m.major == 0 && m.minor == 0 }

// same reports whether two files differ in nothing but their times and content.
func (m *meta) same(o *meta) bool {
	return m.kind == o.kind && m.mode == o.mode && m.uid == o.uid && m.gid == o.gid &&
		m.size == o.size && m.major == o.major && m.minor == o.minor && m.target == o.target &&
		maps.Equal(m.xattrs, o.xattrs)
}

// header makes the file's tar header. It has no names of users, which differ
// between machines, and no times but the mtime.
func (m *meta) header(name string) *tar.Header {
	h := &tar.Header{
		Typeflag: m.kind,
		Name:     name,
		Linkname: m.target,
		Size:     m.size,
		Mode:     m.mode,
		Uid:      m.uid,
		Gid:      m.gid,
		ModTime:  time.Unix(m.mtime, 0),
		Devmajor: m.major,
		Devminor: m.minor,
		Format:   tar.FormatPAX,
	}
	if m.isDir() {
		h.Name += "/"
	}
	for name, value := range m.xattrs {
		setRecord(h, paxXattr+name, value)
	}
	return h
}

func setRecord(h *tar.Header, key, value string) {
	if h.PAXRecords == nil {
		h.PAXRecords = make(map[string]string)
	}
	h.PAXRecords[key] = value
}

// metaOf reads a header of a layer. overlayfs' own attributes are left out: a
// layer that brought them could redirect a directory to another.
func metaOf(h *tar.Header) (meta, error) {
	m := meta{
		kind:  h.Typeflag,
		mode:  h.Mode & 0o7777,
		uid:   h.Uid,
		gid:   h.Gid,
		mtime: h.ModTime.Unix(),
	}
	switch h.Typeflag {
	case tar.TypeReg: // the reader makes the old form, a NUL byte, this one
		m.kind, m.size = tar.TypeReg, h.Size
	case tar.TypeSymlink:
		m.target = h.Linkname
	case tar.TypeChar, tar.TypeBlock:
		m.major, m.minor = h.Devmajor, h.Devminor
	case tar.TypeDir, tar.TypeFifo:
	default:
		return m, fmt.Errorf("the layer holds a file of the unknown type %q", h.Typeflag)
	}
	if m.uid < 0 || m.gid < 0 {
		return m, fmt.Errorf("the layer gives it the owner %d:%d", m.uid, m.gid)
	}
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, paxSparse) {
			// A few bytes could stand for more than can ever be read.
			return m, errors.New("the layer holds a sparse entry, which OCI advises against")
		}
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok || strings.HasPrefix(name, overlayXattr) {
			continue
		}
		if m.xattrs == nil {
			m.xattrs = make(map[string]string)
		}
		m.xattrs[name] = value
	}
	dropEmptyACLs(&m)
	return m, nil
}
