package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/pipeline/bases"
	"vauban/pipeline/freshness"
	"vauban/pipeline/provenance"
	"vauban/pipeline/recipes"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	dockerfiles "vauban/Dockerfiles"
	"vauban/config"
	"vauban/layers"
)

// makeBase imports a base untouched and prepares it with Dockerfile.base.
func (r *Runner) makeBase(ctx context.Context, b *config.Base) (string, error) {
	// Digested before they are used: what changes meanwhile counts as changed.
	files, err := r.records.Digests().Of(ctx, r.Config, b)
	if err != nil {
		return "", fmt.Errorf("%s: base %q: %w", r.Config.Place(b.Pos), b.Name, err)
	}
	raw, from, err := r.importBase(ctx, b)
	if err != nil {
		return "", err
	}
	labels := map[string]string{
		provenance.LabelBase:     b.Image(),
		provenance.LabelBaseSize: strconv.Itoa(len(raw.Manifest.Layers) + 1),
		provenance.LabelParent:   raw.Digest().String(),
	}
	step, err := r.recipe(dockerfiles.Base, recipes.BaseArguments(b), b.Image(), nil)
	if err != nil {
		return "", err
	}
	defer step.Close()
	below := func(string) string { return b.RawImage() }
	img, err := r.applyOne(ctx, r.traced(step, b, dockerfiles.Base, labels, below), stageOf{
		target: layers.Target{Parent: raw, ContainerOptions: layers.ContainerOptions{Name: config.MachineName(b.Image())}},
		labels: labels, by: dockerfiles.Base,
	})
	if err == nil {
		img, err = r.unchanged(ctx, b.PreparedImage(), img)
	}
	if err != nil {
		return "", fmt.Errorf("preparing base %q: %w", b.Name, err)
	}
	if err := r.keep(ctx, b.PreparedImage(), img, b.RawImage()); err != nil {
		return "", err
	}
	recipe, err := step.Key(ctx, "")
	if err != nil {
		return "", err
	}
	made := freshness.Record{Parent: raw.Digest(), From: from, Inputs: freshness.BaseInputs(b, recipe)}
	maps.Copy(made.Inputs, files)
	if len(b.Stages) > 0 {
		// A base's own stages are applied as a master's are.
		if img, made.Stages, err = r.applyStages(ctx, b.AsMaster(), img, b.RawImage()); err != nil {
			return "", err
		}
	}
	made.Image = img.Digest()
	return img.Digest().String(), r.recordImage(ctx, b.Image(), made)
}

// importBase makes the base's image of what its source has, untouched. From is
// which file or image that is, as far as anything says.
func (r *Runner) importBase(ctx context.Context, b *config.Base) (img layers.Image, from digest.Digest, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: importing base %q from %s: %w", r.Config.Place(b.Pos), b.Name, b.Source, err)
		}
	}()
	if img, from, err = r.importWithin(ctx, b, r.Timeout); err != nil {
		return layers.Image{}, "", err
	}
	if img, err = r.unchanged(ctx, b.RawImage(), img); err != nil {
		return layers.Image{}, "", err
	}
	return img, from, r.keep(ctx, b.RawImage(), img)
}

// importWithin makes the image in a limited time: a server may be as slow as it
// likes.
func (r *Runner) importWithin(ctx context.Context, b *config.Base, limit time.Duration) (img layers.Image, from digest.Digest, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the import took longer than --timeout %s", limit))
	defer cancel()
	if b.Source.Kind == config.Image {
		img, from, err = r.opener(ctx).Image(ctx, b, map[string]string{provenance.LabelBase: b.Image()})
	} else {
		img, from, err = r.importRoot(ctx, b)
	}
	if err == nil {
		err = r.Engine.Mount(ctx, img, func(root string) error { return bases.CheckSystem(ctx, root) })
	}
	if err != nil {
		err = caused(ctx, err)
	}
	return img, from, err
}

func (r *Runner) opener(ctx context.Context) *bases.Opener {
	return &bases.Opener{Config: r.Config, Settings: r.Settings, Engine: r.Engine, StateDir: r.StateDir, WorkDir: r.work, Log: r.Log,
		Say: func(format string, args ...any) { r.say(ctx, format, args...) }}
}

// importRoot makes an image of the tar of a root filesystem.
func (r *Runner) importRoot(ctx context.Context, b *config.Base) (layers.Image, digest.Digest, error) {
	root, from, err := r.opener(ctx).Root(ctx, b)
	if err != nil {
		return layers.Image{}, "", err
	}
	img, err := r.Engine.ImportRootfs(ctx, root, ocispec.ImageConfig{}, layers.Change{
		Created: r.time, CreatedBy: config.PublicURL(b.Source.Value),
		Labels:  map[string]string{provenance.LabelVersion: r.Version, provenance.LabelBase: b.Image()},
		Inspect: r.gate.inspect(nil, nil),
	})
	if err := errors.Join(err, root.Close()); err != nil {
		return layers.Image{}, "", err
	}
	r.gate.pass(img)
	return img, from, nil
}
