package ansible

import (
	"context"

	"vauban/ansible/repository"
)

// workspace is a working copy for one run, and the processes that hooks leave
// running in it.
type workspace struct {
	*repository.Copy
	mark string // of the processes; see newMark
}

// workspace makes a working copy for one run.
func (c *Controller) workspace(ctx context.Context, commit string) (*workspace, error) {
	wc, err := c.Repository.Private(ctx, commit)
	if err != nil {
		return nil, err
	}
	return &workspace{wc, newMark()}, nil
}

// remove ends the processes first.
func (w *workspace) remove() error {
	killMarked(w.mark)
	return w.Remove()
}
