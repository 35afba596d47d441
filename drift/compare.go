package drift

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
	"vauban/layers/diff"
)

const (
	// maxText is the size in bytes above which a file is not compared by
	// lines.
	maxText = 1 << 20
	// maxBytes bounds what a machine may send, holes of files included.
	maxBytes = 16 << 30
	// maxDiffs bounds the text of all diffs, in bytes.
	maxDiffs = 16 << 20
	opaque   = "SCHILY.xattr.trusted.overlay.opaque"
	redirect = "SCHILY.xattr.trusted.overlay.redirect"
	overlay  = "SCHILY.xattr.trusted.overlay."
	attr     = "SCHILY.xattr."
)

// Options say what is compared.
type Options struct {
	// Exclude lists patterns of paths that are left out besides
	// DefaultExcludes, with all that is beneath them.
	Exclude []string
	// Diff compares texts by lines.
	Diff bool
	// Archive gets what is compared as a tar, to be looked into. Nil: nobody
	// wants it.
	Archive *tar.Writer
}

// Compare reads the tar of an upper directory and tells what it changes in the
// tree below root, in the tar's order. What only has another date is no
// change.
func Compare(ctx context.Context, root *beneath.Root, upper io.Reader, o Options) ([]Change, error) {
	exclude, err := diff.ParseGlobs(append(DefaultExcludes(), o.Exclude...))
	if err != nil {
		return nil, err
	}
	c := comparison{ctx: ctx, root: root, options: o, exclude: exclude, changes: []Change{}, seen: map[string]bool{}, moved: map[string]string{}}
	entries := tar.NewReader(&limited{upper, maxBytes})
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			// What follows the last entry is the sender's last word.
			_, err := io.Copy(io.Discard, upper)
			return c.changes, err
		} else if err != nil {
			return nil, fmt.Errorf("reading what the machine sends: %w", err)
		}
		if err := c.entry(h, entries); err != nil {
			return nil, fmt.Errorf("comparing %q: %w", h.Name, err)
		}
	}
}

// limited is an error instead of an end: half a tree must not pass for one.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("it is more than %d GiB: exclude what is large on the machine's side", maxBytes>>30)
	}
	return n, err
}

type comparison struct {
	ctx     context.Context
	root    *beneath.Root
	options Options
	exclude diff.Globs
	changes []Change
	seen    map[string]bool   // files that hard links may name
	moved   map[string]string // directories, and what they were in the image
	diffs   int               // bytes of text
	read    int64             // bytes of content, holes included
}

func (c *comparison) entry(h *tar.Header, content io.Reader) error {
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	if name == "" || c.excluded(name) {
		return nil
	}
	if c.read += h.Size; c.read > maxBytes {
		return fmt.Errorf("it is more than %d GiB: exclude what is large", maxBytes>>30)
	}
	if err := c.checkLink(h, name); err != nil {
		return err
	}
	kind, text, err := c.judge(h, name, content)
	if err != nil || kind == "" {
		return err
	}
	change := newChange(name, kind, h)
	change.Diff = text
	if h.Typeflag == tar.TypeLink {
		target, _ := clean(h.Linkname)
		change.Target = "/" + target
	}
	if kind == Moved {
		change.From = "/" + c.moved[name]
	}
	c.changes = append(c.changes, change)
	return nil
}

// excluded reports whether a pattern matches the path or what it is in.
func (c *comparison) excluded(name string) bool {
	for p := name; p != "."; p = path.Dir(p) {
		if c.exclude.Match(p) {
			return true
		}
	}
	return false
}

// checkLink refuses a hard link to what was not sent: it would lead out of an
// archive.
func (c *comparison) checkLink(h *tar.Header, name string) error {
	switch h.Typeflag {
	case tar.TypeReg:
		c.seen[name] = true
	case tar.TypeLink:
		target, err := clean(h.Linkname)
		if err != nil {
			return err
		}
		if !c.seen[target] && !c.excluded(target) {
			return fmt.Errorf("it is a link to %q, which did not come before", h.Linkname)
		}
	}
	return nil
}

// judge tells what kind of change an entry is, and compares its text. It also
// puts the entry into the archive, as the content can be read but once.
func (c *comparison) judge(h *tar.Header, name string, content io.Reader) (kind, text string, err error) {
	if from := h.PAXRecords[redirect]; from != "" && h.Typeflag == tar.TypeDir {
		return Moved, "", errors.Join(c.move(name, from), c.archive(h, name))
	}
	before, err := c.root.LstatUnlinked(c.before(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	if err != nil {
		before = nil
	}
	isDir := h.Typeflag == tar.TypeDir
	switch {
	case isWhiteout(h):
		return Deleted, "", c.archive(h, name)
	case before == nil:
		kind = Added
	case isDir && before.IsDir() && h.PAXRecords[opaque] == "y":
		return Opaque, "", c.archive(h, name)
	case !sameType(before, h) || h.Typeflag == tar.TypeLink:
		kind = Changed
	case !c.sameMetadata(before, h, name):
		kind = Metadata
	}
	if h.Typeflag == tar.TypeSymlink && before != nil && sameType(before, h) {
		if target, err := c.root.Readlink(c.before(name)); err != nil || target != h.Linkname {
			kind = Changed
		}
	}
	if h.Typeflag != tar.TypeReg {
		if kind == "" && !isDir {
			return "", "", nil // as it was
		}
		return kind, "", c.archive(h, name)
	}
	return c.file(h, name, before, kind, content)
}

// move notes that a directory is one of the image's under another name: from is
// its path, or its name where its parent was.
func (c *comparison) move(name, from string) error {
	if !strings.HasPrefix(from, "/") {
		from = c.before(path.Dir(name)) + "/" + from
	}
	from, err := clean(from)
	c.moved[name] = from
	return err
}

// before is where a path was in the image.
func (c *comparison) before(name string) string {
	for dir := name; dir != "."; dir = path.Dir(dir) {
		if from, ok := c.moved[dir]; ok {
			return from + name[len(dir):]
		}
	}
	return name
}

// file compares the content of a regular file.
func (c *comparison) file(h *tar.Header, name string, before fs.FileInfo, kind string, content io.Reader) (string, string, error) {
	var old *os.File
	if before != nil && before.Mode().IsRegular() {
		f, err := c.root.Open(c.before(name))
		if err != nil {
			return "", "", err
		}
		defer f.Close()
		old = f
	}
	var after bytes.Buffer // the beginning, for a diff
	archived, spill := io.Discard, (*os.File)(nil)
	switch {
	case c.options.Archive == nil:
	case kind != "": // it goes there whatever it holds
		if err := c.archive(h, name); err != nil {
			return "", "", err
		}
		archived = c.options.Archive
	default:
		f, err := newSpill()
		if err != nil {
			return "", "", err
		}
		defer f.Close()
		archived, spill = f, f
	}
	same, err := copyComparing(io.MultiWriter(archived, &head{&after, maxText}), content, old)
	if err != nil {
		return "", "", err
	}
	switch {
	case old != nil && !same:
		kind = Changed
	case kind == "":
		return "", "", nil // only its date is another
	}
	if spill != nil {
		if err := c.archiveFile(h, name, spill); err != nil {
			return "", "", err
		}
	}
	text := ""
	if c.options.Diff && kind != Metadata && readable(c.root, h, c.before(name), before) && h.Size <= maxText {
		text, err = c.text(name, before, after.Bytes())
	}
	return kind, text, err
}

// text compares two texts by lines; it is empty for what is none.
func (c *comparison) text(name string, before fs.FileInfo, after []byte) (string, error) {
	var old []byte
	from := "/dev/null"
	if before != nil && before.Mode().IsRegular() {
		if before.Size() > maxText {
			return "", nil
		}
		var err error
		if old, err = c.root.ReadFile(c.ctx, c.before(name), maxText); err != nil {
			return "", err
		}
		from = "release/" + c.before(name)
	}
	if !isText(old) || !isText(after) {
		return "", nil
	}
	text := udiff.Unified(from, "machine/"+name, string(old), string(after))
	if c.diffs += len(text); c.diffs > maxDiffs {
		return "", nil
	}
	return text, nil
}

func isText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

// readable reports whether everybody may read a file, before and now: others are
// keys, and are not shown.
func readable(root *beneath.Root, h *tar.Header, name string, before fs.FileInfo) bool {
	if h.Mode&0o004 == 0 || before != nil && before.Mode()&0o004 == 0 {
		return false
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := root.Lstat(dir); err == nil && info.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}

func isWhiteout(h *tar.Header) bool {
	return h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0
}

// sameMetadata compares owner, mode and extended attributes.
func (c *comparison) sameMetadata(before fs.FileInfo, h *tar.Header, name string) bool {
	st, ok := before.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != h.Uid || int(st.Gid) != h.Gid {
		return false
	}
	if h.Typeflag != tar.TypeSymlink && int64(st.Mode&0o7777) != h.Mode&0o7777 {
		return false
	}
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		if int64(unix.Major(st.Rdev)) != h.Devmajor || int64(unix.Minor(st.Rdev)) != h.Devminor {
			return false
		}
	}
	if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
		return true
	}
	now := map[string]string{}
	for record, value := range h.PAXRecords {
		if strings.HasPrefix(record, attr) && !strings.HasPrefix(record, overlay) {
			now[strings.TrimPrefix(record, attr)] = value
		}
	}
	then, err := xattrs(c.root, c.before(name), h.Typeflag == tar.TypeDir)
	return err == nil && maps.Equal(now, then)
}

// xattrs reads a file's extended attributes through its open file.
func xattrs(root *beneath.Root, name string, isDir bool) (map[string]string, error) {
	open := root.Open
	if isDir {
		open = root.OpenDir
	}
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(int(f.Fd()), list)
	if errors.Is(err, unix.ENOTSUP) {
		return map[string]string{}, nil
	} else if err != nil {
		return nil, err
	}
	found := map[string]string{}
	value := make([]byte, 64<<10)
	for key := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if key == "" || strings.HasPrefix(key, "trusted.overlay.") {
			continue
		}
		m, err := unix.Fgetxattr(int(f.Fd()), key, value)
		if err != nil {
			return nil, err
		}
		found[key] = string(value[:m])
	}
	return found, nil
}

// clean makes an entry's name a path relative to the root, "" for the root.
func clean(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsRune(name, 0) || len(name) > 4095 {
		return "", fmt.Errorf("the name %.80q leaves the root or is malformed", name)
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}
