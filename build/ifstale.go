package build

import (
	"context"
	"fmt"
	"slices"
	"time"

	"vauban/config"
	"vauban/export"
)

// WholeTree are the requests for everything that a configuration has of a
// stage.
func WholeTree(cfg *config.Config, stage Stage) []Request {
	var requests []Request
	if stage == Rootfs || stage == All {
		for _, b := range cfg.Bases {
			requests = append(requests, Request{Names: []string{b.Key}, Stage: stage})
		}
	}
	for _, m := range cfg.Masters() {
		if stage != Conffs || m.Conffs != "" {
			requests = append(requests, Request{Names: []string{m.Name}, Stage: stage})
		}
	}
	return requests
}

// Stale is the part of a plan that may have to be done: what is stale, and what
// stands on that. A run asks again of each task when its turn comes.
func (j *Judge) Stale(ctx context.Context, p *Plan) (*Plan, error) {
	if err := j.Load(ctx); err != nil {
		return nil, err
	}
	pending := map[*Task]string{}
	for _, t := range p.Tasks {
		v, err := j.Task(ctx, p, t)
		if err != nil {
			return nil, fmt.Errorf("judging %s: %w", t, err)
		}
		for _, need := range t.Needs {
			if pending[need] != "" && v.Fresh() {
				v.Follows = fmt.Sprintf("if %s changes anything", need)
			}
		}
		pending[t] = v.String()
	}
	// What is made of a rootfs asks for it, stale or not: see masterImage.
	for _, t := range p.Tasks {
		rootfs := p.Find(MakeRootfs, t.Master)
		if t.Master != nil && rootfs != nil && pending[t] != "" && pending[rootfs] == "" {
			pending[rootfs] = "is fresh"
		}
	}
	stale := &Plan{Notices: p.Notices}
	now := map[*Task]*Task{}
	for _, t := range p.Tasks {
		if pending[t] == "" {
			continue
		}
		kept := *t
		kept.Why, kept.Needs = pending[t], nil
		for _, need := range t.Needs {
			if now[need] != nil {
				kept.Needs = append(kept.Needs, now[need])
			}
		}
		now[t] = &kept
		stale.Tasks = append(stale.Tasks, &kept)
	}
	return stale, nil
}

// Plan judges what each task of a plan makes.
func (j *Judge) Plan(ctx context.Context, p *Plan) error {
	if err := j.Load(ctx); err != nil {
		return err
	}
	for _, t := range p.Tasks {
		v, err := j.Task(ctx, p, t)
		if err != nil {
			return fmt.Errorf("judging %s: %w", t, err)
		}
		t.Verdict = &v
	}
	return nil
}

// Task tells whether a task of a plan has to be done, whatever becomes of the
// others.
func (j *Judge) Task(ctx context.Context, p *Plan, t *Task) (Verdict, error) {
	switch t.Kind {
	case MakeBase:
		return j.Base(ctx, t.Base)
	case MakeRootfs:
		return j.Master(ctx, t.Master)
	case MakeConffs:
		hosts, gone, err := j.Hosts(ctx, t.Master, p.Find(MakeRootfs, t.Master) != nil)
		return hostsVerdict(hosts, gone), err
	}
	if !j.Publishing {
		return Verdict{}, nil
	}
	if t.Kind == MakeRelease {
		return j.Release(ctx, t.Master)
	}
	why, err := j.published(ctx, t.Master)
	if err != nil || len(why) > 0 || p.Find(MakeConffs, t.Master) == nil {
		return Verdict{Why: why}, err
	}
	// A release is whole: hosts can be published alone only where the rest is.
	if _, missing := export.Current(j.UploadDir, t.Master.Name); missing == nil {
		return Verdict{}, nil
	}
	v, err := j.Task(ctx, p, &Task{Kind: MakeConffs, Base: t.Base, Master: t.Master})
	if err == nil && !v.Fresh() {
		v = Verdict{Why: []string{"no release is here to take it from"}}
	}
	return v, err
}

// hostsVerdict sums up the hosts of a master.
func hostsVerdict(hosts []HostVerdict, gone []string) Verdict {
	var names, why []string
	for _, h := range hosts {
		if !h.Fresh() {
			names = append(names, h.Name)
		}
	}
	switch {
	case len(names) == 1:
		why = append(why, names[0]+" is stale")
	case len(names) > 1:
		why = append(why, fmt.Sprintf("%d of %d hosts are stale: %s", len(names), len(hosts), few(names)))
	}
	if len(gone) > 0 {
		why = append(why, "the inventory no longer has "+few(gone))
	}
	return Verdict{Why: why}
}

// newJudge is the run's own, which sees what it records.
func (r *Runner) newJudge() *Judge {
	return &Judge{Config: r.Config, Records: r.records, Repository: r.Repository, Branch: r.Branch,
		Identities: r.Identities != nil, UploadDir: r.uploadDir(), Publishing: !r.NoPublish, Push: !r.NoPush, Now: time.Now(),
		Upstream: NewUpstream(r.Config, r.Settings, r.StateDir, r.Log)}
}

// doIfStale does a task if it still has to be done, now that those that it
// needs are.
func (r *Runner) doIfStale(ctx context.Context, t *Task) (string, error) {
	if r.judge == nil {
		return r.do(ctx, t)
	}
	due := t.Kind == MakeRelease && slices.ContainsFunc(t.Needs, func(need *Task) bool {
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
	hosts, _, err := r.judge.Hosts(ctx, m, r.plan.Find(MakeRootfs, m) != nil)
	if err != nil {
		return nil, err
	}
	fresh := map[string]bool{}
	for _, h := range hosts {
		fresh[h.Name] = h.Fresh()
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return fresh[name] }), nil
}
