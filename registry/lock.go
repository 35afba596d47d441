package registry

import (
	"context"
	"fmt"
	"path/filepath"

	"vauban/internal/filelock"
)

// lockTags keeps the other runs on this machine from setting tags of the
// embedded registry, so that looking at a tag and setting it is one step.
// There is nothing of the kind for a registry that others serve.
func (r *Registry) lockTags(ctx context.Context) (unlock func(), err error) {
	if r.embedded == nil {
		return func() {}, nil
	}
	name := filepath.Join(r.embedded.root, "tags.lock")
	file, err := filelock.Open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("locking the tags of the embedded registry: %w", err)
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
