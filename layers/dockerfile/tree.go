package dockerfile

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vauban/layers"

	mode "github.com/tonistiigi/dchapes-mode"
)

// treeEntry is a file, directory, link or device that is to be placed.
type treeEntry struct {
	path     string // below the destination, "." is the destination itself
	mode     fs.FileMode
	owner    fileOwner
	modified time.Time
	link     string // where a symbolic link points, or a hard link's other name
	hard     bool
	device   uint64
	xattrs   map[string]string
	open     func() (io.ReadCloser, error) // of files only
}

type fileOwner struct{ uid, gid int }

// placer puts entries below a directory. In a container it works in
// [Container.Inside]: links are followed, and lead to places in there.
type placer struct {
	dir string
	// owner of everything placed; nil: what the entry says.
	owner *fileOwner
	// mode of everything placed but links; nil: what the entry says.
	mode *mode.Set

	made []madeDir
}

// madeDir gets its time back when everything is in it.
type madeDir struct {
	path     string
	modified time.Time
}

func (p *placer) place(e treeEntry) error {
	if p.owner != nil {
		e.owner = *p.owner
	}
	if p.mode != nil {
		e.mode = p.mode.Apply(e.mode)
	}
	target := filepath.Join(p.dir, filepath.FromSlash(e.path))
	if err := p.put(target, e); err != nil {
		return fmt.Errorf("placing %q: %w", target, err)
	}
	return nil
}

func (p *placer) put(target string, e treeEntry) error {
	if _, err := makeDirs(filepath.Dir(target), 0o755, e.owner); err != nil {
		return err
	}
	if e.mode.IsDir() {
		return p.putDir(target, e)
	}
	// Never written through a link, and never into a file that runs.
	if err := unix.Unlink(target); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if e.hard {
		return os.Link(filepath.Join(p.dir, filepath.Clean("/"+e.link)), target)
	}
	var err error
	switch e.mode.Type() {
	case 0:
		err = e.writeFile(target)
	case fs.ModeSymlink:
		err = os.Symlink(e.link, target)
	default:
		err = unix.Mknod(target, deviceType(e.mode), int(e.device))
	}
	if err != nil {
		return err
	}
	return e.describe(target)
}

// putDir merges: a directory that exists, or a link to one, keeps its
// attributes unless the instruction gives others.
func (p *placer) putDir(target string, e treeEntry) error {
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		if p.owner == nil && p.mode == nil || e.path == "." {
			return nil
		}
		if p.mode == nil {
			e.mode = info.Mode()
		}
		e.modified, e.xattrs = info.ModTime(), nil
	} else if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	p.made = append(p.made, madeDir{target, e.modified})
	return e.describe(target)
}

// finish sets the times of directories.
func (p *placer) finish() error {
	for _, dir := range slices.Backward(p.made) {
		if err := setTime(dir.path, dir.modified); err != nil {
			return err
		}
	}
	return nil
}

func (e treeEntry) writeFile(target string) (err error) {
	from, err := e.open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	_, err = io.Copy(to, from)
	return err
}

// describe sets everything but the content. The order matters: a new owner
// takes the set-user-id bit and the capabilities away.
func (e treeEntry) describe(target string) error {
	if err := os.Lchown(target, e.owner.uid, e.owner.gid); err != nil {
		return err
	}
	if e.mode.Type() != fs.ModeSymlink {
		if err := os.Chmod(target, e.mode); err != nil {
			return err
		}
	}
	for name, value := range e.xattrs {
		if err := unix.Lsetxattr(target, name, []byte(value), 0); err != nil {
			return fmt.Errorf("setting attribute %q: %w", name, err)
		}
	}
	return setTime(target, e.modified)
}

func setTime(target string, modified time.Time) error {
	t := unix.NsecToTimespec(modified.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, target, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting the time of %q: %w", target, err)
	}
	return nil
}

func deviceType(m fs.FileMode) uint32 {
	switch m.Type() {
	case fs.ModeNamedPipe:
		return unix.S_IFIFO
	case fs.ModeDevice:
		return unix.S_IFBLK
	}
	return unix.S_IFCHR
}

// makeDirs makes a directory with those above it that are missing, and
// returns what it made, topmost first.
func makeDirs(dir string, perm fs.FileMode, owner fileOwner) ([]string, error) {
	var missing []string
	for path := dir; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			return nil, fmt.Errorf("%q is not a directory", path)
		} else if err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		missing = append(missing, path)
	}
	slices.Reverse(missing)
	for i, path := range missing {
		if err := os.Mkdir(path, 0o700); err != nil {
			return missing[:i], err
		}
		if err := errors.Join(os.Chown(path, owner.uid, owner.gid), os.Chmod(path, perm)); err != nil {
			return missing[:i+1], err
		}
	}
	return missing, nil
}

// lookUpOwner reads USER or --chown: names are those of /etc/passwd and
// /etc/group; a uid alone is its gid too, as in Docker.
func lookUpOwner(who string) (fileOwner, error) {
	if who == "" {
		return fileOwner{}, nil
	}
	if !strings.Contains(who, ":") {
		if _, err := strconv.ParseUint(who, 10, 31); err == nil {
			who += ":" + who
		}
	}
	found, err := layers.ExecUser(who)
	if err != nil {
		return fileOwner{}, fmt.Errorf("looking for owner %q: %w", who, err)
	}
	return fileOwner{found.Uid, found.Gid}, nil
}

// tarEntry reads a header of an archive; ok is false for what is not a file.
func tarEntry(h *tar.Header, content io.Reader) (e treeEntry, ok bool) {
	e = treeEntry{
		path:     filepath.Join(".", filepath.Clean("/"+h.Name)),
		mode:     h.FileInfo().Mode(),
		owner:    fileOwner{h.Uid, h.Gid},
		modified: h.ModTime,
		link:     h.Linkname,
		hard:     h.Typeflag == tar.TypeLink,
		device:   unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)),
		xattrs:   map[string]string{},
	}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			e.xattrs[name] = value
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		e.open = func() (io.ReadCloser, error) { return io.NopCloser(content), nil }
		return e, true
	case tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return e, true
	}
	return e, false
}
