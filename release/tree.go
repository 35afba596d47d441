package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"vauban/internal/durable"
	"vauban/internal/filelock"
)

// maxNamed is how many names an error lists.
const maxNamed = 10

// unfinished is part of the name of everything that is not finished.
const unfinished = ".tmp-"

// TreeOptions say how a published tree is changed.
type TreeOptions struct {
	// Owner of what is written, "user" or "user:group" (UPLOAD_OWNER); ""
	// leaves it to whoever runs this.
	Owner string
	// Log is told what is waited for and what is cleaned up; nil is silent.
	Log *slog.Logger

	// step is called before each change with a word for it; tests make it
	// fail, or end the process there.
	step func(what string) error
}

// A tree is a published tree that this process alone may change.
type tree struct {
	dir      string
	uid, gid int  // -1: as they are
	dry      bool // nothing is removed
	log      *slog.Logger
	onStep   func(what string) error
	lock     *os.File
}

// openTree waits until no other process changes the tree at dir. The lock is
// the kernel's: a publisher that dies releases it. The tree is made when
// create says so.
func openTree(ctx context.Context, dir string, create bool, o TreeOptions) (*tree, error) {
	t := &tree{dir: dir, uid: -1, gid: -1, log: o.Log, onStep: o.step}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if o.Owner != "" {
		var err error
		if t.uid, t.gid, err = lookupOwner(o.Owner); err != nil {
			return nil, err
		}
	}
	if create {
		if err := t.mkdir(dir); err != nil {
			return nil, err
		}
	}
	// Made once and never removed: a lock on a file that lost its name keeps
	// nobody out.
	path := filepath.Join(dir, ".lock")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := t.write(path, strings.NewReader("")); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	t.lock = f
	if err := t.wait(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func (t *tree) close() { t.lock.Close() }

// wait takes the lock, and says so when it has to wait.
func (t *tree) wait(ctx context.Context) error {
	free, err := filelock.Try(t.lock, filelock.Exclusive)
	if free || err != nil {
		return err
	}
	t.log.Info("waiting for another publisher to finish", "tree", t.dir)
	return filelock.Wait(ctx, t.lock, filelock.Exclusive)
}

// step stands before each change of the tree.
func (t *tree) step(ctx context.Context, what string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.onStep != nil {
		return t.onStep(what)
	}
	return nil
}

// path joins names of the tree to a path.
func (t *tree) path(names ...string) string {
	return filepath.Join(append([]string{t.dir}, names...)...)
}

// mkdir makes a directory and those above it that are missing, on disk.
func (t *tree) mkdir(path string) error {
	err := os.Mkdir(path, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := t.mkdir(filepath.Dir(path)); err != nil {
			return err
		}
		return t.mkdir(path)
	case err != nil:
		return err
	}
	if err := t.own(path, 0o755); err != nil {
		return err
	}
	return durable.Sync(filepath.Dir(path))
}

// link makes path a symbolic link to target, in place of a link that is there.
// What is not a link was not made here and stays. The directory is not synced.
func (t *tree) link(ctx context.Context, path, target string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSymlink:
		return fmt.Errorf("%q is not a link, so vauban did not publish it: move it away", path)
	default:
		if old, err := os.Readlink(path); err != nil || old == target {
			return err
		}
	}
	if err := t.step(ctx, "link "+filepath.Base(path)); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), unfinished+filepath.Base(path))
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := t.chown(temp); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// own gives what was written its mode, whatever the umask, and its owner.
func (t *tree) own(path string, mode os.FileMode) error {
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return t.chown(path)
}

func (t *tree) chown(path string) error {
	if t.uid < 0 {
		return nil
	}
	return os.Lchown(path, t.uid, t.gid)
}

// sweep removes what was left unfinished in a directory. Holding the lock,
// whoever left it is dead or has given up.
func (t *tree) sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unfinished) {
			continue
		}
		t.log.Info("removing what an interrupted run left", "path", filepath.Join(dir, e.Name()))
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// lookupOwner reads "user" or "user:group", names or numbers.
func lookupOwner(owner string) (uid, gid int, err error) {
	name, group, given := strings.Cut(owner, ":")
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return 0, 0, fmt.Errorf("owner %q: no such user: correct UPLOAD_OWNER", owner)
		}
	}
	id := u.Gid
	if given {
		g, err := user.LookupGroup(group)
		if err != nil {
			if g, err = user.LookupGroupId(group); err != nil {
				return 0, 0, fmt.Errorf("owner %q: no such group: correct UPLOAD_OWNER", owner)
			}
		}
		id = g.Gid
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(id)
	return uid, gid, err
}
