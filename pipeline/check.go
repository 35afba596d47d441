package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"

	"vauban/config"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/gate"
	"vauban/pipeline/plan"
	"vauban/pipeline/recipes"
)

// selections are the hosts of the masters whose conffs a plan makes.
type selections map[*config.Master]freshness.Selection

// check finds what keeps the plan from being built, pushed or published, before
// anything runs: missing playbooks, Dockerfiles, branches, hosts and rights. It
// gives the hosts that it found.
func (r *Runner) check(ctx context.Context) (selections, error) {
	if len(gate.PlaybookBranches(plannedStages(r.Config, r.plan), r.Branch)) > 0 {
		if err := r.Ansible.CheckVersion(ctx); err != nil {
			return nil, err
		}
	}
	selected := selections{}
	for _, t := range r.plan.Tasks {
		if t.Kind == plan.MakeSquashfs {
			if _, err := freshness.PackingOptions(r.Config, t.Master, r.Log); err != nil {
				return nil, err
			}
		}
		if t.Kind == plan.MakeRootfs && t.Master.KeepAnsible {
			return nil, fmt.Errorf("%s: master %q has `keep_ansible`, which is not supported because vauban never installs ansible in an image: remove it", r.Config.Place(t.Master.Pos), t.Subject())
		}
		for _, s := range t.Stages(r.Config) {
			if err := r.checkStage(ctx, t, s); err != nil {
				return nil, err
			}
		}
		if t.Kind == plan.MakeConffs {
			var err error
			if selected[t.Master], err = r.selectHosts(ctx, t.Master); err != nil {
				return nil, fmt.Errorf("%s: the hosts of master %q: %w", r.Config.Place(t.Master.Pos), t.Subject(), err)
			}
		}
	}
	if err := freshness.CheckLimit(r.Limit, maps.Values(selected)); err != nil {
		return nil, err
	}
	if err := r.checkIdentities(ctx, selected); err != nil {
		return nil, err
	}
	return selected, r.checkResults(ctx, selected)
}

// checkStage finds what keeps a stage of a task from being applied.
func (r *Runner) checkStage(ctx context.Context, t *plan.Task, s config.Stage) error {
	if s.Init == "systemd" {
		if err := checkSystemd(t.Master); err != nil {
			return fmt.Errorf("%s: stage %q of %q needs `init: systemd`: %w", r.Config.Place(s.Pos), s.Raw, t.Subject(), err)
		}
	}
	if s.Dockerfile != "" {
		_, err := recipes.OfStage(r.Config, s, nil)
		return err
	}
	revision, err := r.Ansible.Repository.Revision(ctx, s.RunBranch(r.Branch))
	if err == nil {
		err = r.Ansible.Repository.HasPlaybook(ctx, revision, s.Playbook)
	}
	if err != nil {
		return fmt.Errorf("%s: stage %q of %q: %w", r.Config.Place(s.Pos), s.Raw, t.Subject(), err)
	}
	return nil
}

// checkDockerfiles finds what stages' Dockerfiles cannot do, and sources that
// their contexts do not have or may not give.
func (r *Runner) checkDockerfiles(ctx context.Context) error {
	for _, t := range r.plan.Tasks {
		for _, s := range t.Stages(r.Config) {
			if s.Dockerfile == "" {
				continue
			}
			dockerfile, err := recipes.OfStage(r.Config, s, r.withheld)
			if err == nil {
				err = dockerfile.Check()
			}
			if err != nil {
				return fmt.Errorf("%s: stage %q of %q: %w", r.Config.Place(s.Pos), s.Raw, t.Subject(), err)
			}
		}
	}
	return ctx.Err()
}

// checkSystemd finds what keeps systemd from running in a master's containers.
func checkSystemd(m *config.Master) error {
	if m != nil && m.Network == "host" {
		return fmt.Errorf("its services would start in the builder's network: remove `network: host` from %q", m.Name)
	}
	return layers.CheckUserNamespaces()
}

// selectHosts finds a master's hosts before anything is built.
func (r *Runner) selectHosts(ctx context.Context, m *config.Master) (freshness.Selection, error) {
	all, err := r.hosts(ctx, m, m.Conffs)
	if err != nil {
		return freshness.Selection{}, err
	}
	if err := r.Config.CheckHosts(m, all); err != nil {
		return freshness.Selection{}, err
	}
	selected, err := freshness.Limited(ctx, r.hosts, m, all, r.Limit)
	if err != nil {
		return selected, err
	}
	return selected, checkHosts(m, selected.Wanted)
}

// hosts expands a pattern, less the masters, which are not machines.
func (r *Runner) hosts(ctx context.Context, m *config.Master, pattern string) ([]string, error) {
	revision, err := r.Ansible.Repository.Revision(ctx, cmp.Or(r.Branch, m.Branch))
	if err != nil {
		return nil, err
	}
	return r.Ansible.Hosts(ctx, revision, freshness.HostPattern(r.Config, m, pattern))
}
