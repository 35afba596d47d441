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

func (r *Controller) workspace(ctx context.Context, commit string) (*workspace, error) {
	c, err := r.Repository.Private(ctx, commit)
	if err != nil {
		return nil, err
	}
	return &workspace{c, newMark()}, nil
}

// remove ends the processes first.
func (w *workspace) remove() error {
	killMarked(w.mark)
	return w.Remove()
}
