package freshness

import (
	"context"
	"fmt"

	"vauban/internal/text"
	"vauban/pipeline/plan"
	"vauban/release"
)

// Stale is the part of a plan that may have to be done: what is stale, and what
// is based on that. A run asks again of each task when its turn comes.
func (j *Judge) Stale(ctx context.Context, p *plan.Plan) (*plan.Plan, error) {
	if err := j.Load(ctx); err != nil {
		return nil, err
	}
	pending := map[*plan.Task]string{}
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
		rootfs := p.Find(plan.MakeRootfs, t.Master)
		if t.Master != nil && rootfs != nil && pending[t] != "" && pending[rootfs] == "" {
			pending[rootfs] = "is fresh"
		}
	}
	stale := &plan.Plan{Notices: p.Notices}
	now := map[*plan.Task]*plan.Task{}
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
func (j *Judge) Plan(ctx context.Context, p *plan.Plan) error {
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

// Task reports whether a task of a plan has to be done, whatever becomes of the
// others.
func (j *Judge) Task(ctx context.Context, p *plan.Plan, t *plan.Task) (plan.Verdict, error) {
	switch t.Kind {
	case plan.MakeBase:
		return j.Base(ctx, t.Base)
	case plan.MakeRootfs:
		return j.Master(ctx, t.Master)
	case plan.MakeConffs:
		hosts, gone, err := j.Hosts(ctx, t.Master, p.Find(plan.MakeRootfs, t.Master) != nil)
		return hostsVerdict(hosts, gone), err
	}
	if !j.Publishing {
		return plan.Verdict{}, nil
	}
	if t.Kind == plan.MakeRelease {
		return j.Release(ctx, t.Master)
	}
	why, err := j.published(ctx, t.Master)
	if err != nil || len(why) > 0 || p.Find(plan.MakeConffs, t.Master) == nil {
		return plan.Verdict{Why: why}, err
	}
	// A release is whole: hosts can be published alone only where the rest is.
	if _, missing := release.Current(j.UploadDir, t.Master.Name); missing == nil {
		return plan.Verdict{}, nil
	}
	v, err := j.Task(ctx, p, &plan.Task{Kind: plan.MakeConffs, Base: t.Base, Master: t.Master})
	if err == nil && !v.Fresh() {
		v = plan.Verdict{Why: []string{"no release is here to take it from"}}
	}
	return v, err
}

// hostsVerdict sums up the hosts of a master.
func hostsVerdict(hosts []HostVerdict, gone []string) plan.Verdict {
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
		why = append(why, fmt.Sprintf("%d of %d hosts are stale: %s", len(names), len(hosts), text.Few(names)))
	}
	if len(gone) > 0 {
		why = append(why, "the inventory no longer has "+text.Few(gone))
	}
	return plan.Verdict{Why: why}
}
