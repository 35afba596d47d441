package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"

	"vauban/layers/diff"
)

// flatten copies the directories of the parent image that the step renamed:
// inside that cost a note of overlayfs', which no layer can hold.
func (c *Container) flatten(ctx context.Context) error {
	return diff.Flatten(ctx, c.root.upper, func(show func(string) error) error {
		return c.root.mounted(filepath.Join(c.dir, "root"), c.engine.volatile, show)
	})
}

// mounted mounts the overlay once more, on the builder.
func (o overlay) mounted(target string, volatile bool, fn func(root string) error) (err error) {
	// A volatile mount leaves a mark there that forbids another.
	if err := os.RemoveAll(filepath.Join(o.work, "work")); err != nil {
		return fmt.Errorf("emptying the work directory: %w", err)
	}
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	if err := mount.All(o.mounts(volatile), target); err != nil {
		return fmt.Errorf("mounting the container's root: %w", err)
	}
	defer func() { err = errors.Join(err, mount.UnmountAll(target, 0)) }()
	return fn(target)
}
