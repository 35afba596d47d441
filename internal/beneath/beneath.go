// Package beneath reads files of an image or a container as data that may be
// hostile.
//
// What a stage, a package or a foreign image left at a name can be a device of
// the builder, a pipe without a writer, a link to /dev/zero or out of the
// root, or a sparse file of terabytes. Names are therefore resolved beneath a
// root as a process with that root would resolve them: links within it are
// followed, absolute ones too, and none leads out of it, through /proc's magic
// links or into another mount. Only regular files are opened, a device is not
// opened even for a moment, and each read has a bound.
package beneath

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Root is the root directory of an image or a container.
type Root struct {
	dir *os.File // O_PATH
}

// OpenRoot opens the root at dir, a path of the calling thread's mount
// namespace. Inside a container it is "/".
func OpenRoot(dir string) (*Root, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Root{os.NewFile(uintptr(fd), dir)}, nil
}

// Close gives up the root. Files that were opened stay open.
func (r *Root) Close() error { return r.dir.Close() }

// Open opens a regular file for reading. The error is [ErrRefused] for
// anything else, and [fs.ErrNotExist] where the image does not have the name.
func (r *Root) Open(name string) (*os.File, error) { return r.open(name, unix.O_RDONLY) }

// OpenToWrite is Open for reading and writing.
func (r *Root) OpenToWrite(name string) (*os.File, error) { return r.open(name, unix.O_RDWR) }

func (r *Root) open(name string, flags int) (*os.File, error) {
	found, err := r.resolve(name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	info, err := found.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, refuseKind(name, info.Mode())
	}
	return reopen(found, name, flags)
}

// ReadFile reads a regular file of at most limit bytes.
func (r *Root) ReadFile(ctx context.Context, name string, limit int64) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(ctx, f, limit)
}

// ReadFile reads a regular file beneath the root at dir. See [Root.ReadFile].
func ReadFile(ctx context.Context, dir, name string, limit int64) ([]byte, error) {
	r, err := OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.ReadFile(ctx, name, limit)
}

// Stat describes what is at a name and is not a link.
func (r *Root) Stat(name string) (fs.FileInfo, error) {
	return r.stat(name, unix.O_PATH)
}

// Lstat describes what is at a name. Links of its directories are followed.
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	return r.stat(name, unix.O_PATH|unix.O_NOFOLLOW)
}

func (r *Root) stat(name string, flags int) (fs.FileInfo, error) {
	f, err := r.resolve(name, flags)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// LstatUnlinked describes what is at a name, as a layer over the root sees it:
// behind a link among its directories there is nothing, [fs.ErrNotExist].
func (r *Root) LstatUnlinked(name string) (fs.FileInfo, error) {
	f, err := r.openat2(name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: resolveBeneath | unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, ErrRefused) || errors.Is(err, unix.ENOTDIR) {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// OpenDir opens a directory, for calls that take a descriptor.
func (r *Root) OpenDir(name string) (*os.File, error) {
	return r.resolve(name, unix.O_RDONLY|unix.O_DIRECTORY)
}

// Open opens a regular file beneath the root at dir. See [Root.Open].
func Open(dir, name string) (*os.File, error) {
	r, err := OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Open(name)
}

// Stat describes what is at a name beneath the root at dir. See [Root.Stat].
func Stat(dir, name string) (fs.FileInfo, error) {
	r, err := OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Stat(name)
}

const resolveBeneath = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// resolve opens what is at a name, beneath the root and in its mount.
func (r *Root) resolve(name string, flags int) (*os.File, error) {
	return r.openat2(name, &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: resolveBeneath,
	})
}

func (r *Root) openat2(name string, how *unix.OpenHow) (*os.File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat2(int(r.dir.Fd()), path.Clean("/"+name), how)
	})
	switch {
	case errors.Is(err, unix.EXDEV):
		// What is mounted over an image is not the image's.
		return nil, &fs.PathError{Op: "open", Path: name, Err: errElsewhere}
	case errors.Is(err, unix.ELOOP):
		return nil, refuse(name, "is a loop of links, or a link of /proc")
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// maxRaces bounds how often a name is looked up again because directories
// were renamed meanwhile, which a container could do for ever.
const maxRaces = 1000

// retry repeats what was interrupted, and lookups that lost a race.
// Source: openat2(2), EAGAIN.
func retry(open func() (int, error)) (fd int, err error) {
	for range maxRaces {
		fd, err = open()
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
	return -1, err
}

// reopen opens what was found with O_PATH and is known to be a regular file. It cannot become another file meanwhile, as it would by its
// name. The goroutine runs in the builder's own mount namespace, whose /proc
// has our descriptors; that of a container does not.
func reopen(found *os.File, name string, flags int) (*os.File, error) {
	type opened struct {
		fd  int
		err error
	}
	done := make(chan opened, 1)
	go func() {
		fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", found.Fd()), flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		done <- opened{fd, err}
	}()
	o := <-done
	if o.err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: o.err}
	}
	return os.NewFile(uintptr(o.fd), name), nil
}

// OpenRegular opens a regular file of the builder, wherever its links lead.
func OpenRegular(file string) (*os.File, error) {
	fd, err := unix.Open(file, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: file, Err: err}
	}
	found := os.NewFile(uintptr(fd), file)
	defer found.Close()
	info, err := found.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, refuseKind(file, info.Mode())
	}
	return reopen(found, file, unix.O_RDONLY)
}

// ReadRegular reads a regular file of the builder of at most limit bytes.
func ReadRegular(ctx context.Context, file string, limit int64) ([]byte, error) {
	f, err := OpenRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(ctx, f, limit)
}

// read reads a file of at most limit bytes, which may grow meanwhile.
func read(ctx context.Context, f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, tooLarge(f.Name(), limit)
	}
	content, err := io.ReadAll(io.LimitReader(Reader(ctx, f), limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, tooLarge(f.Name(), limit)
	}
	return content, nil
}

// Reader reads r until the context ends.
func Reader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx, r} }

type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// Readlink returns where a link leads, as it is written.
func (r *Root) Readlink(name string) (string, error) {
	f, err := r.resolve(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer f.Close()
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", target)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(target[:n]), nil
}

// ReadDir names what is in a directory of at most limit entries, sorted.
func (r *Root) ReadDir(name string, limit int) ([]string, error) {
	f, err := r.OpenDir(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(limit + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > limit {
		return nil, tooMany(name, limit)
	}
	return sorted(names), nil
}

// Glob returns the names that match a pattern of [path.Match], sorted, as
// [filepath.Glob] would in the root. No directory may have more than limit
// entries, nor the result.
func (r *Root) Glob(pattern string, limit int) ([]string, error) {
	found := []string{"/"}
	for part := range split(pattern) {
		if _, err := filepath.Match(part, ""); err != nil {
			return nil, fmt.Errorf("%q: %w", pattern, err)
		}
		var next []string
		for _, dir := range found {
			names, err := r.match(dir, part, limit)
			if err != nil {
				return nil, err
			}
			if next = append(next, names...); len(next) > limit {
				return nil, tooMany(pattern, limit)
			}
		}
		found = next
	}
	return found, nil
}

// match returns what of a directory matches one part of a pattern. What is
// not a directory, or leads elsewhere, has nothing.
func (r *Root) match(dir, part string, limit int) (matched []string, err error) {
	if !hasMeta(part) {
		name := path.Join(dir, part)
		if _, err := r.Lstat(name); err != nil {
			return nil, nil
		}
		return []string{name}, nil
	}
	names, err := r.ReadDir(dir, limit)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, name := range names {
		if ok, _ := path.Match(part, name); ok {
			matched = append(matched, path.Join(dir, name))
		}
	}
	return matched, nil
}
