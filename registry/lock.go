package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockTags keeps the other runs on this machine from setting tags of the
// embedded registry, so that looking at a tag and setting it is one step.
// There is nothing of the kind for a registry that others serve.
func (r *Registry) lockTags(ctx context.Context) (unlock func(), err error) {
	if r.embedded == nil {
		return func() {}, nil
	}
	name := filepath.Join(r.embedded.root, "tags.lock")
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the tags of the embedded registry: %w", err)
	}
	if err := waitLock(ctx, file, syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

// inUse keeps Sweep away from content that no manifest holds yet.
func (r *Registry) inUse(ctx context.Context) (release func(), err error) {
	if r.embedded == nil {
		return func() {}, nil
	}
	r.embedded.using.RLock()
	return r.embedded.using.RUnlock, ctx.Err()
}

// tryLock takes a lock of flock(2) if it is free. A lock held on the same
// open file is given up for it, even in vain.
func tryLock(file *os.File, how int) bool {
	return syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB) == nil
}

// waitLock takes a lock of flock(2) when it becomes free.
func waitLock(ctx context.Context, file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("locking %q: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another run to release %q: %w", file.Name(), context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}
