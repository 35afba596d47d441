package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"vauban/internal/filelock"
)

// claim makes this process the daemon and writes its version down. It returns
// nil when another process is the daemon. The lock is held until the process
// ends or the file is closed.
func (p paths) claim(version string) (*os.File, error) {
	f, err := os.OpenFile(p.daemon(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the daemon's lock: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, f.Close()
	} else if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %q: %w", f.Name(), err), f.Close())
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, version)); err != nil {
		return nil, errors.Join(fmt.Errorf("writing %q: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// daemonPid asks the kernel which process is the daemon; 0 is none.
func (p paths) daemonPid() (int, error) {
	f, err := os.OpenFile(p.daemon(), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("opening the daemon's lock: %w", err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("reading the lock %q: %w", p.daemon(), err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}

// version is what the running daemon wrote down.
func (p paths) version() (string, error) {
	version, err := os.ReadFile(p.daemon())
	if err != nil {
		return "", fmt.Errorf("reading the daemon's version: %w", err)
	}
	return string(version), nil
}

// waitIdle returns when no run has held the lock for some time, with the lock:
// no run starts before it is released.
func (p paths) waitIdle(ctx context.Context, linger time.Duration) (*os.File, error) {
	f, err := filelock.Open(ctx, p.lock())
	if err != nil {
		return nil, err
	}
	for {
		// Runs that start within the time keep the daemon.
		if err := filelock.Release(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-time.After(linger):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		}
		if idle, err := filelock.Try(f, filelock.Exclusive); idle || err != nil {
			return f, err
		}
		if err := filelock.Wait(ctx, f, filelock.Exclusive); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
}
