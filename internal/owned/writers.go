package owned

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	writeBit = 2
	// chmodCure and aclCure take the right to write away.
	chmodCure = "chmod go-w"
	aclCure   = "setfacl -b"
	// maxACL is the kernel's limit of an extended attribute.
	maxACL = 1 << 16
)

func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// writers names who may write to a file besides its owner, root's group and
// the users trusted, "" for none, and the command that ends it.
func writers(file *os.File, info fs.FileInfo, trusted []int) (who, cure string, err error) {
	if info.Mode().Perm()&writeBit != 0 {
		return "every user", chmodCure, nil
	}
	group := int(info.Sys().(*syscall.Stat_t).Gid)
	// The descriptor of O_PATH itself gives no attributes.
	path := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	// What is made in the directory gets the default one.
	for _, name := range []string{"system.posix_acl_default", "system.posix_acl_access"} {
		entries, err := readACL(path, name)
		if err != nil {
			return "", "", fmt.Errorf("reading the ACL of %s: %w", file.Name(), err)
		}
		if who := aclWriters(entries, group, trusted); who != "" {
			return who, aclCure, nil
		}
		if len(entries) > 0 && name == "system.posix_acl_access" {
			return "", "", nil // the mode's group bits are the ACL's mask
		}
	}
	if info.Mode().Perm()&(writeBit<<3) != 0 && group != 0 {
		return fmt.Sprintf("the group %d", group), chmodCure, nil
	}
	return "", "", nil
}

// aclEntry is one entry of an ACL.
// Source: linux/posix_acl_xattr.h
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

const (
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
	aclVersion  = 2
)

func readACL(path, name string) ([]aclEntry, error) {
	value := make([]byte, maxACL)
	n, err := unix.Getxattr(path, name, value)
	switch {
	case errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return parseACL(value[:n])
}

func parseACL(value []byte) ([]aclEntry, error) {
	if len(value) < 4 || (len(value)-4)%8 != 0 || binary.LittleEndian.Uint32(value) != aclVersion {
		return nil, errors.New("unknown format")
	}
	var entries []aclEntry
	for rest := value[4:]; len(rest) > 0; rest = rest[8:] {
		entries = append(entries, aclEntry{binary.LittleEndian.Uint16(rest), binary.LittleEndian.Uint16(rest[2:]), binary.LittleEndian.Uint32(rest[4:])})
	}
	return entries, nil
}

func aclWriters(entries []aclEntry, group int, trusted []int) string {
	mask := uint16(writeBit)
	for _, e := range entries {
		if e.tag == aclMask {
			mask = e.perm & writeBit
		}
	}
	for _, e := range entries {
		switch {
		case e.perm&writeBit == 0:
		case e.tag == aclOther:
			return "every user"
		case mask == 0:
		case e.tag == aclUser && !slices.Contains(trusted, int(e.id)):
			return fmt.Sprintf("the user %d", e.id)
		case e.tag == aclGroup && e.id != 0:
			return fmt.Sprintf("the group %d", e.id)
		case e.tag == aclGroupObj && group != 0:
			return fmt.Sprintf("the group %d", group)
		}
	}
	return ""
}

// quote makes one word of a path for a shell.
func quote(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
