package build

import (
	"context"
	"errors"
	"fmt"

	"vauban/layers"
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
	labelTraces   = "vauban.traces"      // files with the builder's addresses or name
)

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
	err = hinted(err)
	if err == nil && tag == registry.Latest {
		r.remember(name, img)
	}
	return img, err
}

// hinted adds to the error of an image that is not there how a build gets it.
func hinted(err error) error {
	if _, missing := errors.AsType[*MissingError](err); missing {
		return fmt.Errorf("%w: build it first, or add --build-parents", err)
	}
	return err
}

func (r *Runner) found(ctx context.Context) Images {
	return Images{Engine: r.Engine, Registry: r.Registry, Pulling: func(reference string) { r.say(ctx, "pulling %s", reference) }}
}
