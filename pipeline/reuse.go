package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/layers"
	"vauban/layers/diff"
	"vauban/pipeline/freshness"
	"vauban/pipeline/provenance"
	"vauban/registry"
)

// unchanged returns the image that name stands for when img, a stage's result,
// differs from it in nothing but dates: then that one stays, with its tags and
// digest, and so does all that was made of it.
func (r *Runner) unchanged(ctx context.Context, name string, img layers.Image) (layers.Image, error) {
	annotations, err := r.found(ctx).Annotations(ctx, name, registry.Latest)
	if errdefs.IsNotFound(err) || err == nil && !sameOrigin(annotations, img.Manifest.Annotations) {
		return img, nil // and nothing is pulled to find out
	} else if err != nil {
		return img, err
	}
	previous, err := r.image(ctx, name, registry.Latest)
	if errdefs.IsNotFound(err) {
		return img, nil
	} else if err != nil {
		return img, err
	}
	same, err := r.sameButDates(ctx, previous, img)
	if err != nil {
		return img, fmt.Errorf("comparing image %q with the one before: %w", name, err)
	}
	if !same {
		return img, nil
	}
	r.Log.Debug("nothing but dates has changed: the image stays", "image", name, "digest", previous.Digest())
	return previous, nil
}

// sameOrigin tells whether two images can be the same: made of one parent by
// one step.
func sameOrigin(a, b map[string]string) bool {
	return a[provenance.LabelParent] == b[provenance.LabelParent] && a[provenance.LabelKey] == b[provenance.LabelKey]
}

// sameButDates compares two images, of which only the topmost layers may
// differ.
func (r *Runner) sameButDates(ctx context.Context, a, b layers.Image) (bool, error) {
	n := len(b.Config.RootFS.DiffIDs)
	if n == 0 || len(a.Config.RootFS.DiffIDs) != n || !slices.Equal(a.Config.RootFS.DiffIDs[:n-1], b.Config.RootFS.DiffIDs[:n-1]) {
		return false, nil
	}
	configA, errA := undatedConfig(a)
	configB, errB := undatedConfig(b)
	if err := errors.Join(errA, errB); err != nil || configA != configB {
		return false, err
	}
	rules := datedInMasters(r.Config)
	layerA, errA := r.undatedLayer(ctx, a, rules)
	layerB, errB := r.undatedLayer(ctx, b, rules)
	return layerA == layerB, errors.Join(errA, errB)
}

// datedInMasters are the rules for images whose root filesystem may ship. A key
// counts once a list of `export:` keeps it, or may keep it as it cannot be read.
func datedInMasters(cfg *config.Config) datedFiles {
	rules := slices.Clone(unshipped)
	for _, m := range cfg.Masters() {
		options, err := freshness.PackingOptions(cfg, m, nil)
		rules = slices.DeleteFunc(rules, func(f datedFile) bool { return err != nil || options.Exclude.MayKeep(f.pattern) })
	}
	return append(rules, dated...)
}

// undatedConfig is what runs would see of an image's configuration, and what
// its labels tell, but for dates.
func undatedConfig(img layers.Image) (string, error) {
	cfg := img.Config.Config
	cfg.Labels = maps.Clone(cfg.Labels)
	var imginfo strings.Builder
	if err := copyUndated(&imginfo, strings.NewReader(cfg.Labels[provenance.LabelImginfo]), undateImginfo); err != nil {
		return "", err
	}
	if cfg.Labels != nil {
		cfg.Labels[provenance.LabelImginfo] = imginfo.String()
	}
	text, err := json.Marshal([]any{cfg, img.Config.Platform})
	return string(text), err
}

func (r *Runner) undatedLayer(ctx context.Context, img layers.Image, rules datedFiles) (d digest.Digest, err error) {
	layer, err := r.Engine.OpenLayer(ctx, img.Manifest.Layers[len(img.Manifest.Layers)-1])
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, layer.Close()) }()
	return digestUndated(layer, rules)
}

// unchangedHost returns the host's previous image when img differs from it in
// nothing but dates: then that one stays, with its tags, file and digest.
func (r *Runner) unchangedHost(ctx context.Context, m *config.Master, name string, master, img layers.Image) (layers.Image, error) {
	previous, err := r.image(ctx, m.HostImage(name), registry.Latest)
	if errdefs.IsNotFound(err) {
		return img, nil
	} else if err != nil {
		return img, err
	}
	if _, err := previous.Above(master); err != nil {
		return img, nil // built on another image of the master
	}
	before, err := r.undated(ctx, name, master, previous)
	if err != nil {
		return img, err
	}
	now, err := r.undated(ctx, name, master, img)
	if err != nil || now != before {
		return img, err
	}
	return previous, nil
}

// undated digests what a host's conffs has of its image, but for dates: keys
// that its packages made give way to those of its identity.
func (r *Runner) undated(ctx context.Context, host string, master, img layers.Image) (digest.Digest, error) {
	read, write := io.Pipe()
	go func() {
		_, err := r.Engine.Difference(ctx, master, img, write, r.mergeOptions(), r.identities.Layer(host)...)
		write.CloseWithError(err)
	}()
	d, err := digestUndated(read, dated) // conffs ship keys
	return d, errors.Join(err, read.CloseWithError(err))
}

func (r *Runner) mergeOptions() diff.MergeOptions {
	return diff.MergeOptions{Exclude: r.Config.Configuration.ConffsExclude}
}
