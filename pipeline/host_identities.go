package pipeline

import (
	"context"
	"errors"
	"io/fs"

	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/release"
)

// ensureIdentities has the identities of a master's hosts at hand.
func (j *job) ensureIdentities(ctx context.Context, m *config.Master, hosts []string) error {
	if !j.Identities.InVault() {
		return nil
	}
	current, err := release.Current(j.uploadDir(), m.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.notice("", "the machine-ids that hosts have now cannot be taken over: %v", err)
		current = nil
	}
	return j.Identities.Ensure(ctx, current, hosts)
}

// checkIdentities refuses a run without a vault that would build hosts without
// the identity that they have.
func (r *Runner) checkIdentities(ctx context.Context, selected selections) error {
	for _, t := range r.plan.Tasks {
		var hosts []string
		switch t.Kind {
		case plan.MakeConffs:
			hosts = selected[t.Master].Wanted
		case plan.MakeSquashfs:
			if name := t.Master.OwnIdentity(); name != "" {
				hosts = []string{name}
			}
		}
		if err := r.Identities.Check(ctx, r.uploadDir(), r.records, t.Master, hosts); err != nil {
			return err
		}
	}
	return nil
}
