package beneath

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Replace puts a new regular file in the place of whatever is at a name, a
// link or an empty directory too, and makes the directories that are missing.
// It never writes into what is there. Unlike reads, it may cross mounts: a
// container has some of ours.
func (r *Root) Replace(name string, content []byte, mode fs.FileMode) (fs.FileInfo, error) {
	name = path.Clean("/" + name)
	dir, err := r.makeDirs(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := remove(dir, path.Base(name)); err != nil {
		return nil, &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	fd, err := unix.Openat(int(dir.Fd()), path.Base(name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	return info, errors.Join(err, f.Close())
}

// Replace is [Root.Replace] beneath the root at dir.
func Replace(dir, name string, content []byte, mode fs.FileMode) (fs.FileInfo, error) {
	r, err := OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Replace(name, content, mode)
}

// remove removes a file or an empty directory, if there is one.
func remove(dir *os.File, name string) error {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		err = unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// makeDirs opens a directory, which it makes where it is missing.
func (r *Root) makeDirs(name string) (*os.File, error) {
	dir, err := r.openDir(name)
	if !errors.Is(err, fs.ErrNotExist) || name == "/" {
		return dir, err
	}
	parent, err := r.makeDirs(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := unix.Mkdirat(int(parent.Fd()), path.Base(name), 0o755); err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return r.openDir(name)
}

func (r *Root) openDir(name string) (*os.File, error) {
	return r.openat2(name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}
