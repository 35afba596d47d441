package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"vauban/internal/filelock"
)

// ErrInUse is returned by Sweep while other runs have the registry open.
var ErrInUse = errors.New("another run is using the embedded registry; try again when it has ended")

// Sweep removes from the embedded registry's disk what no tag reaches. It
// waits for pushes of this process, and does nothing for a user's registry,
// which has its own garbage collection.
func (r *Registry) Sweep(ctx context.Context) (err error) {
	e := r.embedded
	if e == nil {
		return nil
	}
	e.using.Lock()
	defer e.using.Unlock()
	alone, err := filelock.Try(e.lock, filelock.Exclusive)
	defer func() {
		err = errors.Join(err, filelock.Wait(context.WithoutCancel(ctx), e.lock, filelock.Shared))
	}()
	if err != nil {
		return err
	}
	if !alone {
		return ErrInUse
	}
	driver, err := filesystem.FromParameters(map[string]any{"rootdirectory": e.root})
	if err != nil {
		return fmt.Errorf("sweeping the embedded registry in %q: %w", e.root, err)
	}
	ctx = withValuesOf(ctx, e.ctx)
	space, err := storage.NewRegistry(ctx, driver, storage.EnableDelete)
	if err != nil {
		return fmt.Errorf("sweeping the embedded registry in %q: %w", e.root, err)
	}
	if err := storage.MarkAndSweep(ctx, driver, space, storage.GCOpts{RemoveUntagged: true, Quiet: true}); err != nil {
		return fmt.Errorf("sweeping the embedded registry in %q: %w", e.root, err)
	}
	return nil
}
