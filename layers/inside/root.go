package inside

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Bounds of what is read in one start of the program.
const (
	maxFile    = 16 << 20 // bytes of a file: lists of users, fstab
	maxRead    = 64 << 20 // bytes in all
	maxEntries = 10_000   // of a directory
)

// Root is the root of the container's filesystem. As an [fs.FS] it follows
// links as a process with that root does, absolute ones too; it opens nothing
// but regular files and directories, and waits for none.
type Root struct {
	name string
	dir  int
	left atomic.Int64 // bytes that may still be read
}

var (
	_ fs.ReadFileFS = (*Root)(nil)
	_ fs.ReadDirFS  = (*Root)(nil)
	_ fs.ReadLinkFS = (*Root)(nil)
	_ fs.StatFS     = (*Root)(nil)
)

// OpenRoot opens a directory, "/" or one of a test, as the root. It stays open.
func OpenRoot(name string) (*Root, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	r := &Root{name: name, dir: fd}
	r.left.Store(maxRead)
	return r, nil
}

// Join returns the path on this system of an absolute path in the root.
func (r *Root) Join(name string) string { return path.Join(r.name, name) }

// maxRaces bounds how often a name is looked up again because directories
// were renamed meanwhile. Source: openat2(2), EAGAIN.
const maxRaces = 1000

func (r *Root) openat(name string, flags int) (fd int, err error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if flags&unix.O_CREAT != 0 {
		how.Mode = 0o666
	}
	for range maxRaces {
		fd, err = unix.Openat2(r.dir, path.Clean("/"+name), how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// Open implements [fs.FS].
func (r *Root) Open(name string) (fs.File, error) {
	// A pipe without a writer opens, and is refused.
	fd, err := r.openat(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("is not a file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile implements [fs.ReadFileFS].
func (r *Root) ReadFile(name string) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	limit := min(maxFile, max(0, r.left.Load()))
	var content bytes.Buffer
	n, err := content.ReadFrom(io.LimitReader(f, limit+1))
	r.left.Add(-n)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("is larger than %d bytes", limit)}
	}
	return content.Bytes(), nil
}

// ReadDir implements [fs.ReadDirFS]. Of a directory with too many entries it
// returns some.
func (r *Root) ReadDir(name string) ([]fs.DirEntry, error) {
	fd, err := r.openat(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	entries, err := f.ReadDir(maxEntries)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Stat implements [fs.StatFS].
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.stat(name, unix.O_PATH) }

// Lstat implements [fs.ReadLinkFS].
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	return r.stat(name, unix.O_PATH|unix.O_NOFOLLOW)
}

func (r *Root) stat(name string, flags int) (fs.FileInfo, error) {
	fd, err := r.openat(name, flags)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return f.Stat()
}

// ReadLink implements [fs.ReadLinkFS].
func (r *Root) ReadLink(name string) (string, error) {
	fd, err := r.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var target [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", target[:])
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(target[:n]), nil
}

// executable says whether the caller may execute what is at a path.
func (r *Root) executable(name string) bool {
	fd, err := r.openat(name, unix.O_PATH)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Faccessat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.X_OK, unix.AT_EACCESS) == nil
}

func (r *Root) isDir(name string) bool {
	info, err := r.Stat(name)
	return err == nil && info.IsDir()
}

func (r *Root) isFile(name string) bool {
	info, err := r.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// exists says whether something is at a path, where links lead to.
func (r *Root) exists(name string) bool {
	_, err := r.Stat(name)
	return err == nil
}

// text returns a file's content, empty where it cannot be read.
func (r *Root) text(name string) string {
	content, err := r.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(content)
}

// write gives a file this content; the directories that it lacks are made.
func (r *Root) write(name, content string) error {
	if !path.IsAbs(name) {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		name = path.Join(dir, name)
	}
	if err := os.MkdirAll(path.Dir(r.Join(name)), 0o777); err != nil {
		return err
	}
	return r.put(name, content, unix.O_CREAT|unix.O_TRUNC)
}

// append adds to a file that is there.
func (r *Root) append(name, content string) error { return r.put(name, content, unix.O_APPEND) }

func (r *Root) put(name, content string, flags int) error {
	// A pipe that nothing reads is not opened.
	fd, err := r.openat(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|flags)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "write", Path: name, Err: errors.New("is not a file")}
	}
	if err == nil {
		_, err = f.WriteString(content)
	}
	return errors.Join(err, f.Close())
}
