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

// baseTask imports a base and prepares it.
type baseTask struct {
	*job
	base *config.Base
}

// make imports the base untouched and prepares it with Dockerfile.base, then
// applies its own stages.
func (t *baseTask) make(ctx context.Context) (Image, string, error) {
	b := t.base
	// Digested before they are used: what changes meanwhile counts as changed.
	files, err := t.records.Digests().Of(ctx, t.Config, b)
	if err != nil {
		return Image{}, "", fmt.Errorf("%s: base %q: %w", t.Config.Place(b.Pos), b.Name, err)
	}
	raw, from, err := t.importSource(ctx)
	if err != nil {
		return Image{}, "", err
	}
	img, recipe, err := t.prepare(ctx, raw)
	if err != nil {
		return Image{}, "", err
	}
	made := freshness.Record{Parent: raw.Digest(), From: from, Inputs: freshness.BaseInputs(b, recipe)}
	maps.Copy(made.Inputs, files)
	if len(b.Stages) > 0 {
		// A base's own stages are applied as a master's are.
		if img, made.Stages, err = (&stages{job: t.job, master: b.AsMaster()}).apply(ctx, img, b.RawImage()); err != nil {
			return Image{}, "", err
		}
	}
	made.Image = img.Digest()
	return Image{Name: b.Image(), Digest: img.Digest()}, img.Digest().String(), t.recordImage(ctx, b.Image(), made)
}

// prepare runs Dockerfile.base, of which key is the digest, on the raw image.
func (t *baseTask) prepare(ctx context.Context, raw layers.Image) (img layers.Image, key digest.Digest, err error) {
	b := t.base
	labels := map[string]string{
		provenance.LabelBase:     b.Image(),
		provenance.LabelBaseSize: strconv.Itoa(len(raw.Manifest.Layers) + 1),
		provenance.LabelParent:   raw.Digest().String(),
	}
	step, err := t.recipe(dockerfiles.Base, recipes.BaseArguments(b), b.Image(), nil)
	if err != nil {
		return img, "", err
	}
	defer step.Close()
	below := func(string) string { return b.RawImage() }
	img, err = t.apply(ctx, t.traced(step, b, dockerfiles.Base, labels, below), application{
		target: layers.Target{Parent: raw, ContainerOptions: layers.ContainerOptions{Name: config.MachineName(b.Image())}},
		labels: labels, by: dockerfiles.Base,
	})
	if err == nil {
		img, err = t.unchanged(ctx, b.PreparedImage(), img)
	}
	if err != nil {
		return img, "", fmt.Errorf("preparing base %q: %w", b.Name, err)
	}
	if err := t.keep(ctx, b.PreparedImage(), img, b.RawImage()); err != nil {
		return img, "", err
	}
	key, err = step.Key(ctx, "")
	return img, key, err
}

// importSource makes the base's image of what its source has, untouched. From is
// which file or image that is, as far as anything says.
func (t *baseTask) importSource(ctx context.Context) (img layers.Image, from digest.Digest, err error) {
	b := t.base
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: importing base %q from %s: %w", t.Config.Place(b.Pos), b.Name, b.Source, err)
		}
	}()
	if img, from, err = t.importWithin(ctx, t.Timeout); err != nil {
		return layers.Image{}, "", err
	}
	if img, err = t.unchanged(ctx, b.RawImage(), img); err != nil {
		return layers.Image{}, "", err
	}
	return img, from, t.keep(ctx, b.RawImage(), img)
}

// importWithin makes the image in a limited time: a server may be as slow as it
// likes.
func (t *baseTask) importWithin(ctx context.Context, limit time.Duration) (img layers.Image, from digest.Digest, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the import took longer than --timeout %s", limit))
	defer cancel()
	if t.base.Source.Kind == config.Image {
		img, from, err = t.opener().Image(ctx, t.base, map[string]string{provenance.LabelBase: t.base.Image()})
	} else {
		img, from, err = t.importRoot(ctx)
	}
	if err == nil {
		err = t.Engine.Mount(ctx, img, func(root string) error { return bases.CheckSystem(ctx, root) })
	}
	if err != nil {
		err = caused(ctx, err)
	}
	return img, from, err
}

func (t *baseTask) opener() *bases.Opener {
	return &bases.Opener{Config: t.Config, Settings: t.Settings, Engine: t.Engine, StateDir: t.StateDir, WorkDir: t.work, Log: t.Log,
		Say: t.say}
}

// importRoot makes an image of the tar of a root filesystem.
func (t *baseTask) importRoot(ctx context.Context) (layers.Image, digest.Digest, error) {
	b := t.base
	root, from, err := t.opener().Root(ctx, b)
	if err != nil {
		return layers.Image{}, "", err
	}
	img, err := t.Engine.ImportRootfs(ctx, root, ocispec.ImageConfig{}, layers.Change{
		Created: t.time, CreatedBy: config.PublicURL(b.Source.Value),
		Labels:  map[string]string{provenance.LabelVersion: t.Version, provenance.LabelBase: b.Image()},
		Inspect: t.gate.Inspect(nil, nil),
	})
	if err := errors.Join(err, root.Close()); err != nil {
		return layers.Image{}, "", err
	}
	t.gate.Pass(img)
	return img, from, nil
}
