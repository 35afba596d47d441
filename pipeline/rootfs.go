package pipeline

import (
	"context"
	"fmt"

	"vauban/config"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/provenance"
)

// application is one step on one image.
type application struct {
	target layers.Target
	labels map[string]string
	by     string // for the image's history
	// notice reports the builder's traces in the layer. Nil: not called.
	notice func(container, text string)
}

// apply runs a step on one container.
func (j *job) apply(ctx context.Context, step layers.Step, a application) (layers.Image, error) {
	key, err := step.Key(ctx, "")
	if err != nil {
		return layers.Image{}, err
	}
	a.labels[provenance.LabelKey], a.labels[provenance.LabelVersion] = key.String(), j.Version
	ctx, cancel := context.WithTimeoutCause(ctx, j.Timeout, fmt.Errorf("%s took longer than --timeout %s", a.by, j.Timeout))
	defer cancel()
	var refused refusals
	a.target.Refused = refused.add
	results, err := j.Engine.Apply(ctx, step, layers.Change{Created: j.time, CreatedBy: a.by, Labels: a.labels,
		Inspect: j.gate.Inspect(j.Identities.PrivateKeys, a.notice)}, a.target)
	j.noticeRefused(a.by, &refused)
	if err != nil {
		return layers.Image{}, caused(ctx, err)
	}
	j.gate.Pass(results[0].Image)
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

// makeRootfs applies a master's stages to its parent's image: the given one, or
// when the plan does not make it the latest.
func (j *job) makeRootfs(ctx context.Context, m *config.Master, parent *Image) (Image, string, error) {
	name := m.Base.Image()
	if m.Parent != nil {
		name = m.Parent.Image()
	}
	below, err := j.parentImage(ctx, name, parent)
	if err != nil {
		return Image{}, "", fmt.Errorf("taking the parent of %q: %w", m.Name, err)
	}
	img, applied, err := (&stages{job: j, master: m}).apply(ctx, below, name)
	if err != nil {
		return Image{}, "", err
	}
	made := Image{Name: m.Image(), Digest: img.Digest()}
	return made, img.Digest().String(), j.recordImage(ctx, m.Image(),
		freshness.Record{Image: img.Digest(), Parent: below.Digest(), Inputs: freshness.MasterInputs(m), Stages: applied})
}

func (j *job) parentImage(ctx context.Context, name string, made *Image) (layers.Image, error) {
	if made != nil {
		return j.load(ctx, *made)
	}
	return j.latest(ctx, name)
}

// apply applies the stages of the master to its parent's image, whose name is
// below, and keeps what each gives.
func (s *stages) apply(ctx context.Context, img layers.Image, below string) (_ layers.Image, records []freshness.StageRecord, err error) {
	for i, stage := range s.master.Stages {
		name := s.master.StageImage(i)
		var record freshness.StageRecord
		if img, record, err = s.applyStage(ctx, stage, img, name, below); err != nil {
			return img, nil, fmt.Errorf("applying stage %q of %q: %w", stage.Raw, s.master.Name, err)
		}
		if err := s.keep(ctx, name, img, below); err != nil {
			return img, nil, err
		}
		records = append(records, record)
		below = name
	}
	return img, records, s.keep(ctx, s.master.Image(), img, below)
}

func (s *stages) applyStage(ctx context.Context, stage config.Stage, parent layers.Image, name, below string) (img layers.Image, record freshness.StageRecord, err error) {
	step, labels, err := s.step(ctx, stage, name, func(string) string { return below })
	if err != nil {
		return img, record, err
	}
	defer layers.CloseStep(step)
	labels[provenance.LabelParent] = parent.Digest().String()
	inherit(labels, parent)
	img, err = s.job.apply(ctx, step, application{
		target: layers.Target{Parent: parent, ContainerOptions: s.container(stage, config.MachineName(s.master.Name))},
		labels: labels, by: stage.Raw,
		notice: func(_, text string) { s.notice("", "%s of %s: %s", stage.Raw, s.master.Name, text) },
	})
	if err != nil {
		return layers.Image{}, record, err
	}
	if record, err = freshness.RecordStage(ctx, step, stage, labels); err != nil {
		return layers.Image{}, record, err
	}
	img, err = s.unchanged(ctx, name, img)
	return img, record, err
}

// inherit keeps what an image says of the base it was built on.
func inherit(labels map[string]string, parent layers.Image) {
	for _, name := range []string{provenance.LabelBase, provenance.LabelBaseSize} {
		if value := parent.Config.Config.Labels[name]; value != "" {
			labels[name] = value
		}
	}
}
