package diff

import (
	"archive/tar"
	"encoding/binary"
)

const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// aclVersion begins the kernel's form of a list. Entries of a tag, a right
// (16 bits each) and an id (32 bits) follow, all little-endian.
// Source: include/uapi/linux/posix_acl_xattr.h
const (
	aclVersion = 2
	aclHeader  = 4
	aclEntry   = 8
)

// uninherit tells an unpacker that a file without lists, in a directory with
// default ones, has none: unpackers make the directory first, and the kernel
// then gives the lists to what is made in it. Setting a list that says no more
// than the mode removes it, and so does setting an empty default list.
func uninherit(m *meta) {
	if m.kind == tar.TypeSymlink {
		return
	}
	if m.xattrs == nil {
		m.xattrs = make(map[string]string)
	}
	if _, ok := m.xattrs[accessACL]; !ok {
		m.xattrs[accessACL] = modeACL(m.mode)
	}
	if _, ok := m.xattrs[defaultACL]; !ok && m.isDir() {
		m.xattrs[defaultACL] = newACL()
	}
}

// dropEmptyACLs removes lists that say nothing, as the kernel does.
func dropEmptyACLs(m *meta) {
	if m.xattrs[accessACL] == modeACL(m.mode) {
		delete(m.xattrs, accessACL)
	}
	if m.xattrs[defaultACL] == newACL() {
		delete(m.xattrs, defaultACL)
	}
}

// modeACL is the list that says what the mode says: of the owner, the group
// and others.
func modeACL(mode int64) string {
	const user, group, other = 0x01, 0x04, 0x20
	return newACL([2]uint16{user, uint16(mode >> 6 & 7)}, [2]uint16{group, uint16(mode >> 3 & 7)}, [2]uint16{other, uint16(mode & 7)})
}

// newACL makes a list of tags and their rights, without ids.
func newACL(entries ...[2]uint16) string {
	const noID = 1<<32 - 1
	b := make([]byte, 0, aclHeader+aclEntry*len(entries))
	b = binary.LittleEndian.AppendUint32(b, aclVersion)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e[0])
		b = binary.LittleEndian.AppendUint16(b, e[1])
		b = binary.LittleEndian.AppendUint32(b, noID)
	}
	return string(b)
}
