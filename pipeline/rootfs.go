package pipeline

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"vauban/config"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
	"vauban/pipeline/provenance"
	"vauban/pipeline/recipes"
)

// stageOf is one step on one master.
type stageOf struct {
	target layers.Target
	labels map[string]string
	by     string // for the image's history
	// notice tells of the builder's traces in the layer; nil: nobody wants to
	// know.
	notice func(container, text string)
}

// applyOne runs a step on one container.
func (r *Runner) applyOne(ctx context.Context, step layers.Step, s stageOf) (layers.Image, error) {
	key, err := step.Key(ctx, "")
	if err != nil {
		return layers.Image{}, err
	}
	s.labels[provenance.LabelKey], s.labels[provenance.LabelVersion] = key.String(), r.Version
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("%s took longer than --timeout %s", s.by, r.Timeout))
	defer cancel()
	var refused refusals
	s.target.Refused = refused.add
	results, err := r.Engine.Apply(ctx, step, layers.Change{Created: r.time, CreatedBy: s.by, Labels: s.labels,
		Inspect: r.gate.inspect(r.identities.privateKeys, s.notice)}, s.target)
	r.noticeRefused(ctx, s.by, &refused)
	if err != nil {
		return layers.Image{}, caused(ctx, err)
	}
	r.gate.pass(results[0].Image)
	return results[0].Image, results[0].Err
}

// caused is why ctx ended when it has: what a cancelled step says of itself is
// noise beside that.
func caused(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// makeRootfs applies a master's stages to its parent's image.
func (r *Runner) makeRootfs(ctx context.Context, m *config.Master) (string, error) {
	parent := m.Base.Image()
	if m.Parent != nil {
		parent = m.Parent.Image()
	}
	below, err := r.image(ctx, parent, "latest")
	if err != nil {
		return "", fmt.Errorf("taking the parent of %q: %w", m.Name, err)
	}
	img, stages, err := r.applyStages(ctx, m, below, parent)
	if err != nil {
		return "", err
	}
	r.partsOf(m).setImage(img)
	return img.Digest().String(), r.recordImage(ctx, m.Image(), freshness.Record{Image: img.Digest(), Parent: below.Digest(), Inputs: freshness.MasterInputs(m), Stages: stages})
}

// applyStages applies the stages of a master to its parent's image, keeping
// what each gives.
func (r *Runner) applyStages(ctx context.Context, m *config.Master, img layers.Image, below string) (_ layers.Image, records []freshness.StageRecord, err error) {
	for i, stage := range m.Stages {
		name := m.StageImage(i)
		var record freshness.StageRecord
		if img, record, err = r.applyStage(ctx, m, stage, img, name, below); err != nil {
			return img, nil, fmt.Errorf("applying stage %q of %q: %w", stage.Raw, m.Name, err)
		}
		if err := r.keep(ctx, name, img, below); err != nil {
			return img, nil, err
		}
		records = append(records, record)
		below = name
	}
	return img, records, r.keep(ctx, m.Image(), img, below)
}

func (r *Runner) applyStage(ctx context.Context, m *config.Master, stage config.Stage, parent layers.Image, name, below string) (layers.Image, freshness.StageRecord, error) {
	step, labels, err := r.step(ctx, m, stage, false, name, func(string) string { return below })
	if err != nil {
		return layers.Image{}, freshness.StageRecord{}, err
	}
	defer layers.CloseStep(step)
	labels[provenance.LabelParent] = parent.Digest().String()
	r.inherit(labels, parent)
	img, err := r.applyOne(ctx, step, stageOf{
		target: layers.Target{Parent: parent, ContainerOptions: r.container(m, stage, config.MachineName(m.Name), true)},
		labels: labels, by: stage.Raw,
		notice: func(_, text string) { r.notice(ctx, "", "%s of %s: %s", stage.Raw, m.Name, text) },
	})
	if err != nil {
		return layers.Image{}, freshness.StageRecord{}, err
	}
	record, err := freshness.RecordStage(ctx, step, stage, labels)
	if err != nil {
		return layers.Image{}, record, err
	}
	img, err = r.unchanged(ctx, name, img)
	return img, record, err
}

// inherit keeps what an image says of the base it stands on.
func (r *Runner) inherit(labels map[string]string, parent layers.Image) {
	for _, name := range []string{provenance.LabelBase, provenance.LabelBaseSize} {
		if value := parent.Config.Config.Labels[name]; value != "" {
			labels[name] = value
		}
	}
}

func (r *Runner) container(m *config.Master, s config.Stage, name string, lists bool) layers.ContainerOptions {
	return layers.ContainerOptions{Name: name, HostNetwork: m.Network == "host", Systemd: s.Init == "systemd", AptLists: lists}
}

// step makes the step of a stage for a build of m or of its hosts; source
// names the image below the one of a hostname.
func (r *Runner) step(ctx context.Context, m *config.Master, stage config.Stage, conffs bool, logName string, source func(hostname string) string) (layers.Step, map[string]string, error) {
	labels := map[string]string{provenance.LabelMaster: m.Name, provenance.LabelStage: stage.Raw}
	if stage.Dockerfile != "" {
		step, err := r.userDockerfile(ctx, stage, logName)
		if err != nil {
			return nil, nil, err
		}
		return r.traced(step, m.Base, stage.Raw, labels, source), labels, nil
	}
	revision, err := r.Ansible.Repository.Revision(ctx, stage.RunBranch(r.Branch))
	if err != nil {
		return nil, nil, err
	}
	labels[provenance.LabelBranch], labels[provenance.LabelCommit] = revision.Branch, revision.Commit
	log, err := r.logFile(logName)
	if err != nil {
		return nil, nil, err
	}
	step := r.playbook(ctx, m, stage, revision, conffs, log)
	return r.traced(step, m.Base, stage.Playbook, labels, source), labels, nil
}

// traced makes a step that records itself in the images that it makes; source
// names the image below the one of a hostname.
func (r *Runner) traced(step layers.Step, b *config.Base, playbook string, labels map[string]string, source func(hostname string) string) layers.Step {
	return provenance.Trace(step, provenance.Origin{Base: b.Key, Date: r.time, Playbook: playbook, Tool: strings.TrimSpace("vauban " + r.Version),
		Branch: labels[provenance.LabelBranch], Commit: labels[provenance.LabelCommit], Source: source})
}

// userDockerfile is a Dockerfile stage: its context is its folder.
func (r *Runner) userDockerfile(ctx context.Context, stage config.Stage, logName string) (layers.Step, error) {
	dockerfile, err := recipes.OfStage(r.Config, stage, r.withheld)
	if err != nil {
		return nil, err
	}
	log, err := r.logFile(logName)
	if err != nil {
		return nil, err
	}
	dockerfile.CacheDir, dockerfile.Log = filepath.Join(r.StateDir, "cache"), log
	dockerfile.Notice = func(text string) { r.notice(ctx, "", "%s: %s", stage.Raw, text) }
	return &recipe{log: log, Dockerfile: dockerfile}, nil
}

// logFile opens a log of this run for an image's name. The run's secrets do
// not get into it.
func (r *Runner) logFile(name string) (io.WriteCloser, error) {
	f, err := os.OpenFile(r.logPath(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	return r.gate.redactor().Writer(f), nil
}

// check finds what keeps a plan from being built, pushed or published, before
// anything runs: missing playbooks, Dockerfiles, branches, hosts and rights.
func (r *Runner) check(ctx context.Context, p *plan.Plan) error {
	if len(playbookBranches(plannedStages(r.Config, p), r.Branch)) > 0 {
		if err := r.Ansible.CheckVersion(ctx); err != nil {
			return err
		}
	}
	for _, t := range p.Tasks {
		if t.Kind == plan.MakeSquashfs {
			if _, err := freshness.PackingOptions(r.Config, t.Master, r.Log); err != nil {
				return err
			}
		}
		if t.Kind == plan.MakeRootfs && t.Master.KeepAnsible {
			return fmt.Errorf("%s: master %q wants `keep_ansible`, and nothing installs ansible in an image: remove it", r.Config.Place(t.Master.Pos), t.Subject())
		}
		for _, s := range t.Stages(r.Config) {
			if s.Init == "systemd" {
				if err := checkSystemd(t.Master); err != nil {
					return fmt.Errorf("%s: stage %q of %q wants `init: systemd`: %w", r.Config.Place(s.Pos), s.Raw, t.Subject(), err)
				}
			}
			if s.Dockerfile != "" {
				if _, err := recipes.OfStage(r.Config, s, nil); err != nil {
					return err
				}
				continue
			}
			revision, err := r.Ansible.Repository.Revision(ctx, s.RunBranch(r.Branch))
			if err == nil {
				err = r.Ansible.Repository.HasPlaybook(ctx, revision, s.Playbook)
			}
			if err != nil {
				return fmt.Errorf("%s: stage %q of %q: %w", r.Config.Place(s.Pos), s.Raw, t.Subject(), err)
			}
		}
		if t.Kind == plan.MakeConffs {
			if err := r.selectHosts(ctx, t.Master); err != nil {
				return fmt.Errorf("%s: the hosts of master %q: %w", r.Config.Place(t.Master.Pos), t.Subject(), err)
			}
		}
	}
	if err := freshness.CheckLimit(r.Limit, maps.Values(r.selected)); err != nil {
		return err
	}
	if err := r.checkIdentities(ctx, p); err != nil {
		return err
	}
	return r.checkResults(ctx, p)
}

// checkDockerfiles finds what stages' Dockerfiles cannot do, and sources that
// their contexts do not have or may not give.
func (r *Runner) checkDockerfiles(ctx context.Context, p *plan.Plan) error {
	for _, t := range p.Tasks {
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
