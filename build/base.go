package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	dockerfiles "vauban/Dockerfiles"
	"vauban/config"
	"vauban/internal/beneath"
	"vauban/layers"
)

// makeBase imports a base untouched and prepares it with Dockerfile.base.
func (r *Runner) makeBase(ctx context.Context, b *config.Base) (string, error) {
	// Digested before they are used: what changes meanwhile counts as changed.
	files, err := r.records.contents().of(ctx, r.Config, b)
	if err != nil {
		return "", fmt.Errorf("%s: base %q: %w", place(r.Config, b.Pos), b.Name, err)
	}
	raw, from, err := r.importBase(ctx, b)
	if err != nil {
		return "", err
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
	made := Record{Parent: raw.Digest(), From: from, Inputs: baseInputs(b, recipe)}
	maps.Copy(made.Inputs, files)
	if len(b.Stages) > 0 {
		// A base's own stages are applied as a master's are.
		if img, made.Stages, err = r.applyStages(ctx, asMaster(b), img, b.RawImage()); err != nil {
			return "", err
		}
	}
	made.Image = img.Digest()
	return img.Digest().String(), r.recordImage(ctx, b.Image(), made)
}

func asMaster(b *config.Base) *config.Master {
	return &config.Master{Name: b.Image(), Base: b, Stages: b.Stages, Branch: b.Branch, Network: "private"}
}

// importBase makes the base's image of what its source has, untouched. From is
// which file or image that is, as far as anything says.
func (r *Runner) importBase(ctx context.Context, b *config.Base) (img layers.Image, from digest.Digest, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: importing base %q from %s: %w", place(r.Config, b.Pos), b.Name, b.Source, err)
		}
	}()
	if b.Source.Kind == config.Image {
		img, from, err = r.pulled(ctx, b)
	} else {
		img, from, err = r.importRoot(ctx, b)
	}
	if err == nil {
		err = r.Engine.Mount(ctx, img, func(root string) error { return checkSystem(ctx, root) })
	}
	if err != nil {
		return layers.Image{}, "", err
	}
	if img, err = r.unchanged(ctx, b.RawImage(), img); err != nil {
		return layers.Image{}, "", err
	}
	return img, from, r.keep(ctx, b.RawImage(), img)
}

// importRoot makes an image of the tar of a root filesystem.
func (r *Runner) importRoot(ctx context.Context, b *config.Base) (layers.Image, digest.Digest, error) {
	root, from, err := r.open(ctx, b)
	if err != nil {
		return layers.Image{}, "", err
	}
	img, err := r.Engine.ImportRootfs(ctx, root, ocispec.ImageConfig{}, layers.Change{
		Created: r.time, CreatedBy: config.PublicURL(b.Source.Value),
		Labels:  map[string]string{labelVersion: r.Version, labelBase: b.Image()},
		Inspect: r.gate.inspect(nil, nil),
	})
	if err := errors.Join(err, root.Close()); err != nil {
		return layers.Image{}, "", err
	}
	r.gate.pass(img)
	return img, from, nil
}

// checkSystem tells early what Dockerfile.base and the record of packages would
// stumble over.
func checkSystem(ctx context.Context, root string) error {
	fsys, err := beneath.OpenRoot(root)
	if err != nil {
		return err
	}
	defer fsys.Close()
	for _, program := range []string{"bin/sh", "usr/bin/dpkg", "usr/bin/apt-get"} {
		if _, err := fsys.Lstat(program); err == nil {
			continue
		}
		return fmt.Errorf("%s has no /%s: vauban builds on Debian, on Ubuntu, and on what is made of them", systemName(ctx, fsys), program)
	}
	return nil
}

var prettyName = regexp.MustCompile(`(?m)^PRETTY_NAME=["']?([^"'\n]*)`)

// systemName is what a system calls itself.
// Source: os-release(5)
func systemName(ctx context.Context, root *beneath.Root) string {
	for _, path := range []string{"etc/os-release", "usr/lib/os-release"} {
		text, err := root.ReadFile(ctx, path, 64<<10)
		if found := prettyName.FindSubmatch(text); err == nil && found != nil {
			return string(found[1])
		}
	}
	return "it"
}
