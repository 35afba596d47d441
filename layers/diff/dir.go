package diff

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dir is an open directory. What is read through it is what its entries are,
// never what a link among them points to.
type dir struct {
	file *os.File
}

// openRoot opens the directory that a tree begins with.
func openRoot(path string) (*dir, error) {
	return openDirAt(unix.AT_FDCWD, path)
}

func openDirAt(fd int, path string) (*dir, error) {
	for {
		opened, err := unix.Openat(fd, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return nil, &os.PathError{Op: "openat", Path: path, Err: err}
		}
		return &dir{os.NewFile(uintptr(opened), path)}, nil
	}
}

func (d *dir) fd() int                        { return int(d.file.Fd()) }
func (d *dir) close()                         { d.file.Close() }
func (d *dir) open(name string) (*dir, error) { return openDirAt(d.fd(), name) }

// names lists the entries in the order of their bytes.
func (d *dir) names() ([]string, error) {
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	names, err := d.file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func (d *dir) stat(name string) (st unix.Stat_t, err error) {
	for {
		if err = unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); !errors.Is(err, unix.EINTR) {
			return st, err
		}
	}
}

// meta describes an entry. What overlayfs noted on it comes apart.
func (d *dir) meta(name string, st *unix.Stat_t) (m meta, overlay map[string]string, err error) {
	m = meta{
		mode:  int64(st.Mode & 0o7777),
		uid:   int(st.Uid),
		gid:   int(st.Gid),
		mtime: st.Mtim.Sec,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		m.kind, m.size = tar.TypeReg, st.Size
	case unix.S_IFDIR:
		m.kind = tar.TypeDir
	case unix.S_IFLNK:
		m.kind = tar.TypeSymlink
		if m.target, err = d.readlink(name); err != nil {
			return m, nil, err
		}
	case unix.S_IFCHR:
		m.kind, m.major, m.minor = tar.TypeChar, int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	case unix.S_IFBLK:
		m.kind, m.major, m.minor = tar.TypeBlock, int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	case unix.S_IFIFO:
		m.kind = tar.TypeFifo
	default:
		m.kind = kindSocket
	}
	m.xattrs, overlay, err = d.xattrs(name)
	return m, overlay, err
}

func (d *dir) readlink(name string) (string, error) {
	for size := 256; ; size *= 2 {
		target := make([]byte, size)
		n, err := unix.Readlinkat(d.fd(), name, target)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return "", err
		}
		if n < size {
			return string(target[:n]), nil
		}
	}
}

// path names an entry for calls that take no open directory: /proc leads to it.
func (d *dir) path(name string) string {
	return "/proc/self/fd/" + strconv.Itoa(d.fd()) + "/" + name
}

// xattrs reads an entry's extended attributes, overlayfs' own apart. They are
// read by name, as links, devices and pipes cannot be opened for it, and the
// last name is not followed.
func (d *dir) xattrs(name string) (own, overlay map[string]string, err error) {
	path := d.path(name)
	list, err := readGrowing(func(buffer []byte) (int, error) { return unix.Llistxattr(path, buffer) })
	if errors.Is(err, unix.ENOTSUP) || err == nil && len(list) == 0 {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("listing extended attributes: %w", err)
	}
	own, overlay = map[string]string{}, map[string]string{}
	for key := range bytes.SplitSeq(bytes.TrimSuffix(list, []byte{0}), []byte{0}) {
		key := string(key)
		value, err := readGrowing(func(buffer []byte) (int, error) { return unix.Lgetxattr(path, key, buffer) })
		if err != nil {
			return nil, nil, fmt.Errorf("reading the extended attribute %q: %w", key, err)
		}
		if strings.HasPrefix(key, overlayXattr) {
			overlay[key] = string(value)
		} else {
			own[key] = string(value)
		}
	}
	return own, overlay, nil
}

// maxXattr is the kernel's own limit for a list or a value, in bytes.
const maxXattr = 64 << 10

// readGrowing calls read with larger buffers until the answer fits.
func readGrowing(read func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buffer := make([]byte, min(size, maxXattr))
		n, err := read(buffer)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ERANGE) && size < maxXattr:
		case err != nil:
			return nil, err
		default:
			return buffer[:n], nil
		}
	}
}

// content opens a regular file that st describes. The reader ends after
// st.Size bytes, or with an error.
func (d *dir) content(ctx context.Context, name string, st *unix.Stat_t) (io.ReadCloser, error) {
	fd, err := unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: name, Err: err}
	}
	file := os.NewFile(uintptr(fd), name)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil || now.Ino != st.Ino || now.Dev != st.Dev || now.Size != st.Size {
		file.Close()
		return nil, errors.Join(err, errChanged)
	}
	return newSparseReader(ctx, file, &now), nil
}

var errChanged = errors.New("the file changed while it was read")
