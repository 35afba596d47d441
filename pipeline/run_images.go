package pipeline

import (
	"context"
	"errors"
	"fmt"

	"vauban/layers"
	"vauban/registry"
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
