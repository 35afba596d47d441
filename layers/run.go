package layers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"vauban/internal/filelock"
)

const (
	labelRun   = "vauban/run"
	labelState = "vauban/state"
)

// run is one process's working folder, STATE/run/<id>. Its lock is held as
// long as the process lives, however it ends.
type run struct {
	id   string
	dir  string
	lock *os.File
}

func startRun(runs string) (*run, error) {
	id := strings.ToLower(rand.Text()[:12])
	r := &run{id: id, dir: filepath.Join(runs, id)}
	if err := os.MkdirAll(runs, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of runs: %w", err)
	}
	if err := r.takeLock(runs); err != nil {
		return nil, fmt.Errorf("locking %q: %w", r.lockFile(), err)
	}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("making the run's folder: %w", err), r.end())
	}
	return r, nil
}

// takeLock locks the file before it has a name: no other run sees it free and
// takes this one for dead.
func (r *run) takeLock(runs string) error {
	fd, err := unix.Open(runs, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	lock := os.NewFile(uintptr(fd), r.lockFile())
	if _, err = filelock.Try(lock, filelock.Exclusive); err == nil {
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, r.lockFile(), unix.AT_SYMLINK_FOLLOW)
	}
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	r.lock = lock
	return nil
}

func (r *run) lockFile() string { return r.dir + ".lock" }

// end removes the folder first: a run without its lock may be swept.
func (r *run) end() error {
	return errors.Join(removeUnmounted(r.dir), os.Remove(r.lockFile()), r.lock.Close())
}

// sweep removes what dead runs left: containers, leases, mounts, folders.
func (e *Engine) sweep(ctx context.Context) error {
	locks, err := filepath.Glob(filepath.Join(e.stateDir, "run", "*.lock"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range locks {
		if path == e.run.lockFile() {
			continue
		}
		errs = append(errs, e.sweepRun(ctx, path))
	}
	return errors.Join(errs...)
}

func (e *Engine) sweepRun(ctx context.Context, path string) error {
	lock, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	dead := run{id: strings.TrimSuffix(filepath.Base(path), ".lock"), dir: strings.TrimSuffix(path, ".lock"), lock: lock}
	if isDead, err := filelock.Try(lock, filelock.Exclusive); err != nil || !isDead {
		return errors.Join(err, lock.Close())
	}
	if _, err := os.Stat(path); err != nil {
		return lock.Close() // it ended meanwhile
	}
	e.log.Info("cleaning up after a run that was killed", "run", dead.id)
	if err := e.forget(ctx, dead.id); err != nil {
		return errors.Join(fmt.Errorf("sweeping run %q: %w", dead.id, err), lock.Close())
	}
	return dead.end()
}

// forget removes what a run has in containerd, unless an image refers to it.
func (e *Engine) forget(ctx context.Context, id string) error {
	ctx = e.context(ctx)
	found, err := e.client.Containers(ctx, fmt.Sprintf("labels.%q==%s", labelRun, id))
	if err != nil {
		return err
	}
	for _, c := range found {
		if err := destroy(ctx, c); err != nil {
			return err
		}
	}
	err = e.client.LeasesService().Delete(ctx, leases.Lease{ID: id}, leases.SynchronousDelete)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("giving up its lease: %w", err)
	}
	return errors.Join(killShims(id), removeCgroups(ctx, id), e.pool.RemoveViews(id+"-*"))
}

// removeUnmounted unmounts what is mounted below dir and removes it. It never
// descends into a mount that would not go: that may be somebody's tree.
func removeUnmounted(dir string) error {
	if err := mount.UnmountRecursive(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting what is below %q: %w", dir, err)
	}
	return os.RemoveAll(dir)
}

// Dir is the run's own folder below the state directory, removed when it
// ends.
func (e *Engine) Dir() string { return e.run.dir }
