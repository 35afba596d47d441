package vault

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"vauban/internal/durable"
)

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
		return nil, fmt.Errorf("%q has more than %d bytes: it is not an identity", name, maxFile)
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
