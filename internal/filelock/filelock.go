// Package filelock takes locks of flock(2): the kernel's, which end with their
// holder however that ends. A lock belongs to an open file and is given back
// when that is closed.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kind says who else may have a lock at the same time.
type Kind int

const (
	// Shared locks go together.
	Shared Kind = unix.LOCK_SH
	// Exclusive locks go with no other.
	Exclusive Kind = unix.LOCK_EX
)

// The pause between two tries grows from one to the other.
const (
	shortest = 2 * time.Millisecond
	longest  = 50 * time.Millisecond
)

// Open opens the file at path, made if need be, and waits for an exclusive
// lock on it. The file is never to be removed: a lock on a file that lost its
// name keeps nobody out.
func Open(ctx context.Context, path string) (*os.File, error) {
	return openWith(ctx, path, os.O_CREATE|os.O_RDWR, Exclusive)
}

// OpenDir is Open with the folder itself as the lock, which leaves no file in
// it.
func OpenDir(ctx context.Context, path string) (*os.File, error) {
	return openWith(ctx, path, os.O_RDONLY|unix.O_DIRECTORY, Exclusive)
}

// OpenShared is Open with a shared lock.
func OpenShared(ctx context.Context, path string) (*os.File, error) {
	return openWith(ctx, path, os.O_CREATE|os.O_RDWR, Shared)
}

func openWith(ctx context.Context, path string, flags int, kind Kind) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a lock: %w", err)
	}
	if err := Wait(ctx, f, kind); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Wait takes the lock when it becomes free. It tries again and again: a
// flock(2) that waits cannot be told that ctx has ended.
func Wait(ctx context.Context, f *os.File, kind Kind) error {
	for pause := shortest; ; pause = min(2*pause, longest) {
		taken, err := Try(f, kind)
		if taken || err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("waiting for another run to release %q: %w", f.Name(), context.Cause(ctx))
		}
	}
}

// Try takes the lock if it is free. The lock that f has already is given up
// for it, even in vain.
func Try(f *os.File, kind Kind) (taken bool, err error) {
	err = flock(f, int(kind)|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Release gives the lock back and keeps the file open.
func Release(f *os.File) error { return flock(f, unix.LOCK_UN) }

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		}
		return fmt.Errorf("locking %q: %w", f.Name(), err)
	}
}
