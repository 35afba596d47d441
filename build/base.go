package build

import (
	"context"
	"fmt"
	"strconv"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	dockerfiles "vauban/Dockerfiles"
	"vauban/config"
	"vauban/layers"
)

// makeBase imports a base untouched and prepares it with Dockerfile.base.
func (r *Runner) makeBase(ctx context.Context, b *config.Base) (string, error) {
	raw, err := r.importBase(ctx, b)
	if err != nil {
		return "", fmt.Errorf("importing base %q: %w", b.Name, err)
	}
	labels := map[string]string{
		labelBase:     b.Image(),
		labelBaseSize: strconv.Itoa(len(raw.Manifest.Layers) + 1),
		labelParent:   raw.Digest().String(),
	}
	step, err := r.recipe(dockerfiles.Base, baseArguments(b), b.Image(), nil)
	if err != nil {
		return "", err
	}
	defer step.close()
	below := func(string) string { return b.RawImage() }
	img, err := r.applyOne(ctx, r.traced(step, b, dockerfiles.Base, labels, below), stageOf{
		target: layers.Target{Parent: raw, ContainerOptions: layers.ContainerOptions{Name: machineName(b.Image())}},
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
	if len(b.Stages) == 0 {
		return img.Digest().String(), r.recordImage(ctx, b.Image(), img.Digest(), raw.Digest(), baseInputs(b, recipe), nil)
	}
	// A base's own stages are applied as a master's are.
	img, stages, err := r.applyStages(ctx, asMaster(b), img, b.RawImage())
	if err != nil {
		return "", err
	}
	return img.Digest().String(), r.recordImage(ctx, b.Image(), img.Digest(), raw.Digest(), baseInputs(b, recipe), stages)
}

func asMaster(b *config.Base) *config.Master {
	return &config.Master{Name: b.Image(), Base: b, Stages: b.Stages, Branch: b.Branch, Network: "private"}
}

func (r *Runner) importBase(ctx context.Context, b *config.Base) (layers.Image, error) {
	tar, err := r.open(ctx, b)
	if err != nil {
		return layers.Image{}, err
	}
	defer tar.Close()
	img, err := r.Engine.ImportRootfs(ctx, tar, ocispec.ImageConfig{}, layers.Change{
		Created: r.time, CreatedBy: b.Source.Value,
		Labels:  map[string]string{labelVersion: r.Version, labelBase: b.Image()},
		Inspect: r.gate.inspect(nil, nil),
	})
	if err != nil {
		return layers.Image{}, err
	}
	r.gate.pass(img)
	if img, err = r.unchanged(ctx, b.RawImage(), img); err != nil {
		return layers.Image{}, err
	}
	return img, r.keep(ctx, b.RawImage(), img)
}
