package build

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
	s.labels[labelKey], s.labels[labelVersion] = key.String(), r.Version
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
	return img.Digest().String(), r.recordImage(ctx, m.Image(), Record{Image: img.Digest(), Parent: below.Digest(), Inputs: masterInputs(m), Stages: stages})
}

// applyStages applies the stages of a master to its parent's image, keeping
// what each gives.
func (r *Runner) applyStages(ctx context.Context, m *config.Master, img layers.Image, below string) (_ layers.Image, records []StageRecord, err error) {
	for i, stage := range m.Stages {
		name := m.StageImage(i)
		var record StageRecord
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

func (r *Runner) applyStage(ctx context.Context, m *config.Master, stage config.Stage, parent layers.Image, name, below string) (layers.Image, StageRecord, error) {
	step, labels, err := r.step(ctx, m, stage, false, name, func(string) string { return below })
	if err != nil {
		return layers.Image{}, StageRecord{}, err
	}
	defer closeStep(step)
	labels[labelParent] = parent.Digest().String()
	r.inherit(labels, parent)
	img, err := r.applyOne(ctx, step, stageOf{
		target: layers.Target{Parent: parent, ContainerOptions: r.container(m, stage, machineName(m.Name), true)},
		labels: labels, by: stage.Raw,
		notice: func(_, text string) { r.notice(ctx, "", "%s of %s: %s", stage.Raw, m.Name, text) },
	})
	if err != nil {
		return layers.Image{}, StageRecord{}, err
	}
	record, err := stageRecord(ctx, step, stage, labels)
	if err != nil {
		return layers.Image{}, record, err
	}
	img, err = r.unchanged(ctx, name, img)
	return img, record, err
}

// inherit keeps what an image says of the base it stands on.
func (r *Runner) inherit(labels map[string]string, parent layers.Image) {
	for _, name := range []string{labelBase, labelBaseSize} {
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
	labels := map[string]string{labelMaster: m.Name, labelStage: stage.Raw}
	if stage.Dockerfile != "" {
		step, err := r.userDockerfile(stage, logName)
		if err != nil {
			return nil, nil, err
		}
		return r.traced(step, m.Base, stage.Raw, labels, source), labels, nil
	}
	revision, err := r.Repository.Revision(ctx, stage.RunBranch(r.Branch))
	if err != nil {
		return nil, nil, err
	}
	labels[labelBranch], labels[labelCommit] = revision.Branch, revision.Commit
	log, err := r.logFile(logName)
	if err != nil {
		return nil, nil, err
	}
	step := r.playbook(ctx, m, stage, revision, conffs, log)
	return r.traced(step, m.Base, stage.Playbook, labels, source), labels, nil
}

// userDockerfile is a Dockerfile stage: its context is its folder.
func (r *Runner) userDockerfile(stage config.Stage, logName string) (layers.Step, error) {
	dockerfile, err := dockerfileOf(r.Config, stage)
	if err != nil {
		return nil, err
	}
	log, err := r.logFile(logName)
	if err != nil {
		return nil, err
	}
	dockerfile.CacheDir, dockerfile.Log = filepath.Join(r.StateDir, "cache"), log
	return &recipe{log: log, Dockerfile: dockerfile}, nil
}

func dockerfileOf(cfg *config.Config, stage config.Stage) (layers.Dockerfile, error) {
	path := cfg.Resolve(stage.Dockerfile)
	content, err := os.ReadFile(path)
	if err != nil {
		return layers.Dockerfile{}, fmt.Errorf("%s: reading the stage's Dockerfile: %w", place(cfg, stage.Pos), err)
	}
	return layers.Dockerfile{Name: stage.Dockerfile, Content: content, Context: filepath.Dir(path)}, nil
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

// machineName is the inventory's name of a master or a base, and the host name
// of its container: that of a machine holds no slash.
func machineName(name string) string { return strings.ReplaceAll(name, "/", "-") }

// check finds what keeps a plan from being built, pushed or published, before
// anything runs: missing playbooks, Dockerfiles, branches, hosts and rights.
func (r *Runner) check(ctx context.Context, p *Plan) error {
	for _, t := range p.Tasks {
		if t.Kind == MakeSquashfs {
			if _, err := PackingOptions(r.Config, t.Master, r.Log); err != nil {
				return err
			}
		}
		if t.Kind == MakeRootfs && t.Master.KeepAnsible {
			return fmt.Errorf("%s: master %q wants `keep_ansible`, and nothing installs ansible in an image: remove it", place(r.Config, t.Master.Pos), t.Subject())
		}
		for _, s := range t.stages(r.Config) {
			if s.Init == "systemd" {
				if err := checkSystemd(t.Master); err != nil {
					return fmt.Errorf("%s: stage %q of %q wants `init: systemd`: %w", place(r.Config, s.Pos), s.Raw, t.Subject(), err)
				}
			}
			if s.Dockerfile != "" {
				if _, err := dockerfileOf(r.Config, s); err != nil {
					return err
				}
				continue
			}
			revision, err := r.Repository.Revision(ctx, s.RunBranch(r.Branch))
			if err == nil {
				err = r.Repository.HasPlaybook(ctx, revision, s.Playbook)
			}
			if err != nil {
				return fmt.Errorf("%s: stage %q of %q: %w", place(r.Config, s.Pos), s.Raw, t.Subject(), err)
			}
		}
		if t.Kind == MakeConffs {
			if err := r.selectHosts(ctx, t.Master); err != nil {
				return fmt.Errorf("%s: the hosts of master %q: %w", place(r.Config, t.Master.Pos), t.Subject(), err)
			}
		}
	}
	if err := checkLimit(r.Limit, maps.Values(r.selected)); err != nil {
		return err
	}
	if err := r.checkIdentities(ctx, p); err != nil {
		return err
	}
	return r.checkResults(ctx, p)
}

// checkSystemd finds what keeps systemd from running in a master's containers.
func checkSystemd(m *config.Master) error {
	if m != nil && m.Network == "host" {
		return fmt.Errorf("its services would start in the builder's network: remove `network: host` from %q", m.Name)
	}
	return layers.CheckUserNamespaces()
}
