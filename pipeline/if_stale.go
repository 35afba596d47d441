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

// everything decides to do all of a plan.
type everything struct{}

func (everything) due(context.Context, *plan.Task, given) (bool, string, error) {
	return true, "", nil
}

func (everything) hosts(_ context.Context, _ *config.Master, names []string) ([]string, error) {
	return names, nil
}

// image is not called: all is done.
func (everything) image(context.Context, string) (Image, error) { return Image{}, nil }

// ifStale decides to do what the records say is out of date.
type ifStale struct {
	judge *freshness.Judge
	plan  *plan.Plan
}

// newJudge is the run's own, which sees what it records.
func (r *Runner) newJudge() *freshness.Judge {
	return &freshness.Judge{Config: r.Config, Records: r.records, Ansible: r.Ansible, Branch: r.Branch,
		Identities: r.Identities.InVault(), UploadDir: r.uploadDir(), Publishing: !r.NoPublish, Push: !r.NoPush, Now: time.Now(),
		Withheld: r.withheld, Upstream: bases.NewUpstream(r.Config, r.Settings, r.StateDir, r.Log)}
}

// due implements [decider]: a release is when a part of it was made.
func (s *ifStale) due(ctx context.Context, t *plan.Task, given given) (bool, string, error) {
	if t.Kind == plan.MakeRelease {
		for _, part := range given {
			if part != nil {
				return true, "", nil
			}
		}
	}
	v, err := s.judge.Task(ctx, s.plan, t)
	return !v.Fresh(), v.String(), err
}

// hosts implements [decider].
func (s *ifStale) hosts(ctx context.Context, m *config.Master, names []string) ([]string, error) {
	hosts, _, err := s.judge.Hosts(ctx, m, s.plan.Find(plan.MakeRootfs, m) != nil)
	if err != nil {
		return nil, err
	}
	fresh := map[string]bool{}
	for _, h := range hosts {
		fresh[h.Name] = h.Fresh()
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return fresh[name] }), nil
}

// image implements [decider]: it is the latest of its name.
func (s *ifStale) image(ctx context.Context, name string) (Image, error) {
	_, latest, err := s.judge.Records.Get(ctx, name)
	return Image{Name: name, Digest: latest}, err
}
