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
func (j *job) unchanged(ctx context.Context, name string, img layers.Image) (layers.Image, error) {
	annotations, err := j.find().Annotations(ctx, name, registry.Latest)
	if errdefs.IsNotFound(err) || err == nil && !sameOrigin(annotations, img.Manifest.Annotations) {
		return img, nil // and nothing is pulled to find out
	} else if err != nil {
		return img, err
	}
	previous, err := j.latest(ctx, name)
	if errdefs.IsNotFound(err) {
		return img, nil
	} else if err != nil {
		return img, err
	}
	same, err := j.sameButDates(ctx, previous, img)
	if err != nil {
		return img, fmt.Errorf("comparing image %q with the one before: %w", name, err)
	}
	if !same {
		return img, nil
	}
	j.Log.Debug("nothing but dates has changed: the image stays", "image", name, "digest", previous.Digest())
	return previous, nil
}

// sameOrigin reports whether two images can be the same: made of one parent by
// one step.
func sameOrigin(a, b map[string]string) bool {
	return a[provenance.LabelParent] == b[provenance.LabelParent] && a[provenance.LabelKey] == b[provenance.LabelKey]
}

// sameButDates compares two images, of which only the topmost layers may
// differ.
func (j *job) sameButDates(ctx context.Context, a, b layers.Image) (bool, error) {
	n := len(b.Config.RootFS.DiffIDs)
	if n == 0 || len(a.Config.RootFS.DiffIDs) != n || !slices.Equal(a.Config.RootFS.DiffIDs[:n-1], b.Config.RootFS.DiffIDs[:n-1]) {
		return false, nil
	}
	configA, errA := undatedConfig(a)
	configB, errB := undatedConfig(b)
	if err := errors.Join(errA, errB); err != nil || configA != configB {
		return false, err
	}
	rules := datedInMasters(j.Config)
	layerA, errA := j.undatedLayer(ctx, a, rules)
	layerB, errB := j.undatedLayer(ctx, b, rules)
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

func (j *job) undatedLayer(ctx context.Context, img layers.Image, rules datedFiles) (d digest.Digest, err error) {
	layer, err := j.Engine.OpenLayer(ctx, img.Manifest.Layers[len(img.Manifest.Layers)-1])
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, layer.Close()) }()
	return digestUndated(layer, rules)
}

// unchanged returns the host's previous image when the one that it has become
// differs from it in nothing but dates: then that one stays, with its tags, file
// and digest.
func (h *host) unchanged(ctx context.Context) (layers.Image, error) {
	previous, err := h.latest(ctx, h.master.HostImage(h.name))
	if errdefs.IsNotFound(err) {
		return h.image, nil
	} else if err != nil {
		return h.image, err
	}
	if _, err := previous.Above(h.conffsTask.image); err != nil {
		return h.image, nil // built on another image of the master
	}
	before, err := h.undated(ctx, previous)
	if err != nil {
		return h.image, err
	}
	now, err := h.undated(ctx, h.image)
	if err != nil || now != before {
		return h.image, err
	}
	return previous, nil
}

// undated digests what the host's conffs has of an image, but for dates: keys
// that its packages made give way to those of its identity.
func (h *host) undated(ctx context.Context, img layers.Image) (digest.Digest, error) {
	read, write := io.Pipe()
	go func() {
		_, err := h.Engine.Difference(ctx, h.conffsTask.image, img, write, h.mergeOptions(), h.Identities.Layer(h.name)...)
		write.CloseWithError(err)
	}()
	d, err := digestUndated(read, dated) // conffs ship keys
	return d, errors.Join(err, read.CloseWithError(err))
}

func (j *job) mergeOptions() diff.MergeOptions {
	return diff.MergeOptions{Exclude: j.Config.Configuration.ConffsExclude}
}
