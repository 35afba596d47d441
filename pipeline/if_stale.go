package pipeline

import (
	"context"
	"slices"
	"time"

	"vauban/config"
	"vauban/pipeline/bases"
	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
)

// newJudge is the run's own, which sees what it records.
func (r *Runner) newJudge() *freshness.Judge {
	return &freshness.Judge{Config: r.Config, Records: r.records, Ansible: r.Ansible, Branch: r.Branch,
		Identities: r.Identities != nil, UploadDir: r.uploadDir(), Publishing: !r.NoPublish, Push: !r.NoPush, Now: time.Now(),
		Upstream: bases.NewUpstream(r.Config, r.Settings, r.StateDir, r.Log)}
}

// doIfStale does a task if it still has to be done, now that those that it
// needs are.
func (r *Runner) doIfStale(ctx context.Context, t *plan.Task) (string, error) {
	if r.judge == nil {
		return r.do(ctx, t)
	}
	due := t.Kind == plan.MakeRelease && slices.ContainsFunc(t.Needs, func(need *plan.Task) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.did[need]
	})
	if !due {
		v, err := r.judge.Task(ctx, r.plan, t)
		if err != nil {
			return "", err
		}
		if v.Fresh() {
			return "fresh", nil
		}
		r.say(ctx, "%s", v)
	}
	r.mu.Lock()
	r.did[t] = true
	r.mu.Unlock()
	return r.do(ctx, t)
}

// stale are those of a master's hosts that have to be built.
func (r *Runner) stale(ctx context.Context, m *config.Master, names []string) ([]string, error) {
	if r.judge == nil {
		return names, nil
	}
	hosts, _, err := r.judge.Hosts(ctx, m, r.plan.Find(plan.MakeRootfs, m) != nil)
	if err != nil {
		return nil, err
	}
	fresh := map[string]bool{}
	for _, h := range hosts {
		fresh[h.Name] = h.Fresh()
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return fresh[name] }), nil
}
