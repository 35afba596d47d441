package dockerfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/moby/patternmatcher"
	"golang.org/x/sys/unix"
)

// undoing collects what is to be undone, last things first.
type undoing []func() error

func (u *undoing) add(f func() error) { *u = append(*u, f) }

func (u undoing) all() error {
	var errs []error
	for _, f := range slices.Backward(u) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// mountAll mounts everything for a RUN. undo takes it back, and is to be
// called even when there was an error.
func (b *dockerBuild) mountAll(mounts []runMount, workdir string) (undo func() error, err error) {
	var done undoing
	undo = func() error { return done.all() }
	if err := b.lockCaches(mounts, &done); err != nil {
		return undo, err
	}
	for _, m := range mounts {
		if !path.IsAbs(m.target) {
			m.target = path.Join("/", workdir, m.target)
		}
		if err := b.mount(m, &done); err != nil {
			return undo, fmt.Errorf("mounting %q: %w", m.target, err)
		}
	}
	return undo, nil
}

func (b *dockerBuild) mount(m runMount, done *undoing) error {
	switch m.kind {
	case mountTmpfs:
		options := fmt.Sprintf("mode=%o,uid=%d,gid=%d,size=%d", m.mode, m.owner.uid, m.owner.gid, m.size)
		return b.attach(m.target, false, done, func(target string) error {
			return unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
		})
	case mountSecret:
		value, err := b.Secrets[m.id]()
		if err != nil {
			return fmt.Errorf("reading the secret %q: %w", m.id, err)
		}
		b.log.mask(value)
		return b.attach(m.target, true, done, func(target string) error { return mountFile(target, value, m) })
	case mountCache:
		dir, err := b.makeCache(m)
		if err != nil {
			return fmt.Errorf("making the cache %q: %w", m.id, err)
		}
		return b.attachTree(dir, m, done)
	}
	copied, err := b.copyForBind(m.source, done)
	if err != nil {
		return err
	}
	return b.attachTree(copied, m, done)
}

// attach has mount mount something inside, on a mount point that is made if
// there is none, and gone afterwards.
func (b *dockerBuild) attach(target string, file bool, done *undoing, mount func(target string) error) error {
	var point mountPoint
	err := b.container.Inside(func() (err error) {
		if point, err = makeMountPoint(target, file); err != nil {
			return errors.Join(err, point.remove())
		}
		if err := mount(point.path); err != nil {
			return errors.Join(err, point.remove())
		}
		return nil
	})
	if err != nil {
		return err
	}
	done.add(func() error {
		return b.container.Inside(func() error {
			if err := unix.Unmount(point.path, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmounting %q: %w", point.path, err)
			}
			return point.remove()
		})
	})
	return nil
}

// attachTree mounts a directory or file of the builder inside. The clone of
// its mount is taken here and put in place there: the path need not be known
// inside.
func (b *dockerBuild) attachTree(source string, m runMount, done *undoing) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("cloning the mount of %q: %w", source, err)
	}
	defer unix.Close(fd)
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if m.readOnly {
		attributes.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attributes); err != nil {
		return fmt.Errorf("restricting the mount of %q (Linux 5.12 is needed): %w", source, err)
	}
	return b.attach(m.target, !info.IsDir(), done, func(target string) error {
		return unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
	})
}

// copyForBind copies what a bind mount may see of the context: without what
// is ignored, and so that writing to it changes nothing.
func (b *dockerBuild) copyForBind(source string, done *undoing) (string, error) {
	if b.context == nil {
		return "", errors.New("it has no context")
	}
	names, err := b.context.match(source)
	if err != nil {
		return "", err
	}
	if len(names) > 1 {
		return "", fmt.Errorf("%q means %d files: only one can be mounted", source, len(names))
	}
	dir, err := b.container.MkdirTemp("bind-")
	if err != nil {
		return "", err
	}
	done.add(func() error { return os.RemoveAll(dir) })
	none, err := patternmatcher.New(nil)
	if err != nil {
		return "", err
	}
	p := placer{dir: filepath.Join(dir, "copy")}
	if err := b.context.walk(b.ctx, names[0], none, p.place); err != nil {
		return "", fmt.Errorf("copying %q: %w", source, err)
	}
	return p.dir, p.finish()
}

// mountFile mounts a file that is in memory only, and only there.
func mountFile(target string, content []byte, m runMount) (err error) {
	dir, err := os.MkdirTemp("/run", "vauban-secret-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "mode=0700"); err != nil {
		return err
	}
	// The file itself stays for as long as it is mounted on the target.
	defer func() { err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)) }()
	file := filepath.Join(dir, "secret")
	err = errors.Join(os.WriteFile(file, content, 0o600),
		os.Chown(file, m.owner.uid, m.owner.gid), os.Chmod(file, fs.FileMode(m.mode)))
	if err != nil {
		return err
	}
	if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|flags, "")
}

// mountPoint is a directory or file to mount on, with what had to be made.
type mountPoint struct {
	path   string
	made   []string // topmost first
	parent string   // of what was made
	times  []unix.Timespec
}

func makeMountPoint(target string, file bool) (p mountPoint, err error) {
	if info, err := os.Stat(target); err == nil {
		if info.IsDir() == file {
			return p, fmt.Errorf("%q is a directory and the mount is none, or the other way round", target)
		}
		p.path, err = filepath.EvalSymlinks(target)
		return p, err
	}
	if err := p.remember(target); err != nil {
		return p, err
	}
	dir := target
	if file {
		dir = filepath.Dir(target)
	}
	if p.made, err = makeDirs(dir, 0o755, fileOwner{}); err != nil {
		return p, err
	}
	if file {
		f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return p, err
		}
		p.made = append(p.made, target)
		if err := f.Close(); err != nil {
			return p, err
		}
	}
	p.path, err = filepath.EvalSymlinks(target)
	return p, err
}

// remember notes the times of the directory that something will be made in.
func (p *mountPoint) remember(target string) error {
	for p.parent = filepath.Dir(target); ; p.parent = filepath.Dir(p.parent) {
		var st unix.Stat_t
		err := unix.Stat(p.parent, &st)
		if errors.Is(err, unix.ENOENT) {
			continue
		} else if err != nil {
			return fmt.Errorf("looking at %q: %w", p.parent, err)
		}
		p.times = []unix.Timespec{st.Atim, st.Mtim}
		return nil
	}
}

// remove removes what was made, unless the RUN put something into it, so that
// the layer tells nothing of it.
func (p *mountPoint) remove() error {
	for _, path := range slices.Backward(p.made) {
		err := os.Remove(path)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
			return nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(p.made) == 0 {
		return nil
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, p.parent, p.times, 0)
}
