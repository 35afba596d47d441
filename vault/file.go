package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"vauban/internal/durable"
	"vauban/internal/filelock"
)

// lockDir makes this process, or goroutine, the only one that writes to dir.
// The lock is the kernel's, on the folder itself: it leaves no file in what
// may be a git repository, and ends with the process.
func lockDir(ctx context.Context, dir string) (unlock func() error, err error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	if err := filelock.Wait(ctx, folder, filelock.Exclusive); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder.Close, nil
}

// wait returns after d, or with the context's error as soon as it ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// readFile reads a file of at most maxFile bytes.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%q has more than %d bytes: it is no identity", name, maxFile)
	}
	return data, nil
}

// replaceFile gives name its new content in one step that survives a crash. The
// caller holds the lock on the folder: what is there under the temporary name
// is of a run that died.
func replaceFile(name string, data []byte) error {
	dir, base := filepath.Split(name)
	temporary := filepath.Join(dir, "."+base+".new")
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	defer os.Remove(temporary) // unless it was renamed
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return durable.Rename(temporary, name)
}
