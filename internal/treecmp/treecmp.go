// Package treecmp compares directory trees for tests: everything a root
// filesystem is made of, not only names and content.
package treecmp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options say what is not compared. The zero value compares everything.
type Options struct {
	// Skip leaves out a path, relative to the root, and what is beneath.
	Skip func(path string) bool
	// SkipMtime leaves out the modification time of a path.
	SkipMtime func(path string) bool
	// SkipXattr leaves out an extended attribute of a path.
	SkipXattr func(path, name string) bool
	// SkipLinks leaves out which names are hard links of one file.
	SkipLinks bool
}

// Compare lists the differences between the trees a and b, one line each,
// beginning with the path, sorted. It compares types, modes, owners, mtimes in
// seconds, sizes and content, targets of links, device numbers, extended
// attributes (not overlayfs' own) and which names are hard links of one file.
// The roots themselves have the path ".".
func Compare(a, b string, o Options) []string {
	left, err := walk(a, o)
	if err != nil {
		return []string{fmt.Sprintf("reading %q: %v", a, err)}
	}
	right, err := walk(b, o)
	if err != nil {
		return []string{fmt.Sprintf("reading %q: %v", b, err)}
	}
	var diffs []string
	paths := slices.Collect(maps.Keys(left))
	for p := range right {
		if _, ok := left[p]; !ok {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	for _, p := range paths {
		for _, d := range compare(left[p], right[p], p, o) {
			diffs = append(diffs, p+": "+d)
		}
	}
	return diffs
}

// entry is one name in a tree.
type entry struct {
	path   string // to open
	st     syscall.Stat_t
	target string
	xattrs map[string]string
	first  string // the first of the file's names in the tree
}

func walk(root string, o Options) (map[string]*entry, error) {
	entries := make(map[string]*entry)
	firsts := make(map[[2]uint64]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if o.Skip != nil && o.Skip(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, err := read(path)
		if err != nil {
			return fmt.Errorf("reading %q: %w", path, err)
		}
		id := [2]uint64{e.st.Dev, e.st.Ino}
		if _, ok := firsts[id]; !ok {
			firsts[id] = rel
		}
		e.first = firsts[id]
		entries[rel] = e
		return nil
	})
	return entries, err
}

func read(path string) (*entry, error) {
	e := &entry{path: path}
	if err := syscall.Lstat(path, &e.st); err != nil {
		return nil, err
	}
	var err error
	if e.st.Mode&syscall.S_IFMT == syscall.S_IFLNK {
		if e.target, err = os.Readlink(path); err != nil {
			return nil, err
		}
	}
	e.xattrs, err = xattrs(path)
	return e, err
}

func xattrs(path string) (map[string]string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	found := make(map[string]string)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, fmt.Errorf("reading the extended attribute %q: %w", name, err)
		}
		found[name] = string(value[:n])
	}
	return found, nil
}

// compare lists how two entries differ; either may be nil.
func compare(a, b *entry, path string, o Options) []string {
	switch {
	case a == nil:
		return []string{fmt.Sprintf("only in the second tree (%s)", kind(b))}
	case b == nil:
		return []string{fmt.Sprintf("only in the first tree (%s)", kind(a))}
	case kind(a) != kind(b):
		return []string{fmt.Sprintf("type %s, %s", kind(a), kind(b))}
	}
	var diffs []string
	differ := func(what string, x, y any) {
		if x != y {
			diffs = append(diffs, fmt.Sprintf("%s %v, %v", what, x, y))
		}
	}
	differ("mode", fmt.Sprintf("%04o", a.st.Mode&0o7777), fmt.Sprintf("%04o", b.st.Mode&0o7777))
	differ("owner", fmt.Sprintf("%d:%d", a.st.Uid, a.st.Gid), fmt.Sprintf("%d:%d", b.st.Uid, b.st.Gid))
	differ("target", a.target, b.target)
	if o.SkipMtime == nil || !o.SkipMtime(path) {
		differ("mtime", a.st.Mtim.Sec, b.st.Mtim.Sec)
	}
	if !o.SkipLinks && kind(a) != "directory" {
		differ("first link", a.first, b.first)
	}
	switch kind(a) {
	case "file":
		if d := content(a, b); d != "" {
			diffs = append(diffs, "content "+d)
		}
	case "character device", "block device":
		differ("device", a.st.Rdev, b.st.Rdev)
	}
	for _, name := range slices.Sorted(maps.Keys(union(a.xattrs, b.xattrs))) {
		x, inA := a.xattrs[name]
		y, inB := b.xattrs[name]
		if o.SkipXattr == nil || !o.SkipXattr(path, name) {
			differ("xattr "+name, show(x, inA), show(y, inB))
		}
	}
	return diffs
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		return b
	}
	maps.Copy(all, b)
	return all
}

func show(value string, ok bool) string {
	if !ok {
		return "missing"
	}
	return fmt.Sprintf("%.60q (%d bytes)", value, len(value))
}

func kind(e *entry) string {
	switch e.st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return "file"
	case syscall.S_IFDIR:
		return "directory"
	case syscall.S_IFLNK:
		return "symlink"
	case syscall.S_IFCHR:
		return "character device"
	case syscall.S_IFBLK:
		return "block device"
	case syscall.S_IFIFO:
		return "fifo"
	case syscall.S_IFSOCK:
		return "socket"
	}
	return "unknown"
}

// content says how the content of two files differs, "" if it does not.
func content(a, b *entry) string {
	if a.st.Size != b.st.Size {
		return fmt.Sprintf("of %d bytes instead of %d", b.st.Size, a.st.Size)
	}
	left, err := os.Open(a.path)
	if err != nil {
		return err.Error()
	}
	defer left.Close()
	right, err := os.Open(b.path)
	if err != nil {
		return err.Error()
	}
	defer right.Close()
	bufA, bufB := make([]byte, 256<<10), make([]byte, 256<<10)
	for offset := int64(0); ; {
		n, errA := io.ReadFull(left, bufA)
		m, errB := io.ReadFull(right, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return fmt.Sprintf("differs after byte %d", offset)
		}
		offset += int64(n)
		if errA != nil || errB != nil {
			return ""
		}
	}
}
