package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"vauban/internal/filelock"
)

// ErrBusy is returned by [Engine.Alone] while other runs are at work.
var ErrBusy = errors.New("other runs are at work on this state directory")

// enter joins the runs of a state directory. It waits for one that is alone.
func (e *Engine) enter(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Join(e.stateDir, "runs.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("joining the other runs: %w", err)
	}
	e.turn = f
	free, err := filelock.Try(f, filelock.Shared)
	if free || err != nil {
		return err
	}
	e.log.Info("waiting until unused images and caches are removed")
	return filelock.Wait(ctx, f, filelock.Shared)
}

// Alone keeps other runs of this state directory from starting until release
// is called. ErrBusy when one is at work.
func (e *Engine) Alone(ctx context.Context) (release func() error, err error) {
	back := func() error { return filelock.Wait(context.WithoutCancel(ctx), e.turn, filelock.Shared) }
	alone, err := filelock.Try(e.turn, filelock.Exclusive)
	if err == nil && !alone {
		err = ErrBusy
	}
	if err != nil {
		return nil, errors.Join(err, back())
	}
	return back, nil
}

// Usage is what the snapshots take on disk, and the blobs of a containerd whose
// files are out of reach, in bytes.
func (e *Engine) Usage(ctx context.Context) (total int64, err error) {
	ctx = e.context(ctx)
	err = e.snapshots().Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		usage, err := e.snapshots().Usage(ctx, info.Name)
		if errdefs.IsNotFound(err) {
			return nil
		}
		total += usage.Size
		return err
	})
	if err != nil || e.daemon != nil {
		return total, err
	}
	err = e.Store().Walk(ctx, func(info content.Info) error {
		total += info.Size
		return nil
	})
	return total, err
}

// Blobs is the folder in which the embedded containerd keeps blobs.
func (e *Engine) Blobs() string {
	return filepath.Join(e.stateDir, "containerd", "io.containerd.content.v1.content", "blobs")
}
