package build

import (
	"context"
	"fmt"
	"slices"

	"vauban/layers"
	"vauban/progress"
	"vauban/registry"
)

// The labels of an image's configuration, and the annotations of its
// manifest, that say what made it.
const (
	labelMaster   = "vauban.master"
	labelHost     = "vauban.host"
	labelStage    = "vauban.stage"
	labelBranch   = "vauban.branch"
	labelCommit   = "vauban.commit"
	labelKey      = "vauban.key"
	labelParent   = "vauban.parent"
	labelVersion  = "vauban.version"
	labelBase     = "vauban.base"        // the base's image name
	labelBaseSize = "vauban.base.layers" // how many of the layers are the base's
	labelImginfo  = "vauban.imginfo"     // the text of /imginfo
	labelPackages = "vauban.packages"    // the text of /packages
)

// keep gives an image its name here and in the registry, with the run's
// timestamp and latest: tags move last.
func (r *Runner) keep(ctx context.Context, name string, img layers.Image, mountFrom ...string) error {
	if err := r.Engine.SetImage(ctx, name+":"+r.Tag, img); err != nil {
		return err
	}
	if !r.NoPush {
		pushed, err := r.Registry.Push(r.Engine.Context(ctx), name, img.Descriptor, r.Engine.Store(),
			registry.PushOptions{Tags: []string{r.Tag, registry.Latest}, MountFrom: mountFrom})
		if err != nil {
			return fmt.Errorf("pushing image %q: %w", name, err)
		}
		r.Log.Debug("pushed", "image", name, "digest", img.Digest(), "blobs", pushed.Blobs, "bytes", pushed.Bytes)
		if !slices.Contains(pushed.Tags, registry.Latest) {
			r.notice(ctx, "", "a newer run holds latest of %s: this image keeps its timestamp %s alone", name, r.Tag)
		}
		if !slices.Contains(pushed.Tags, r.Tag) { // it has an earlier one
			if err := r.Engine.RemoveImage(ctx, name+":"+r.Tag); err != nil {
				return fmt.Errorf("untagging image %q: %w", name, err)
			}
		}
	}
	if err := r.Engine.SetImage(ctx, name, img); err != nil {
		return err
	}
	r.remember(name, img)
	r.report(ctx, progress.Event{Type: progress.Image, Name: name + ":" + r.Tag, Digest: img.Digest().String()})
	return nil
}

func (r *Runner) remember(name string, img layers.Image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[name] = img
}

func (r *Runner) remembered(name string) (layers.Image, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	img, ok := r.images[name]
	return img, ok
}

// image is the one that name and tag stand for: the one made in this run, else
// what [Images.Tagged] finds.
func (r *Runner) image(ctx context.Context, name, tag string) (layers.Image, error) {
	if img, ok := r.remembered(name); ok && tag == registry.Latest {
		return img, nil
	}
	img, err := r.found(ctx).Tagged(ctx, name, tag)
	if err == nil && tag == registry.Latest {
		r.remember(name, img)
	}
	return img, err
}

func (r *Runner) found(ctx context.Context) Images {
	return Images{Engine: r.Engine, Registry: r.Registry, Pulling: func(reference string) { r.say(ctx, "pulling %s", reference) }}
}
