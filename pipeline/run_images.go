package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"vauban/config"
	"vauban/layers"
	"vauban/registry"
)

// imageCache has the images that a run has made or looked up, by their names:
// what a name stands for stays the same in a run.
type imageCache struct {
	mu     sync.Mutex
	byName map[string]layers.Image
}

func newImageCache() *imageCache { return &imageCache{byName: map[string]layers.Image{}} }

func (i *imageCache) set(name string, img layers.Image) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.byName[name] = img
}

func (i *imageCache) get(name string) (layers.Image, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	img, ok := i.byName[name]
	return img, ok
}

// find finds images that the run has not made.
func (j *job) find() Images {
	return Images{Engine: j.Engine, Registry: j.Registry, Pulling: func(reference string) { j.say("pulling %s", reference) }}
}

// latest is the image that a name stands for: the one made in this run, else
// the one that [Images.Tagged] finds.
func (j *job) latest(ctx context.Context, name string) (layers.Image, error) {
	if img, ok := j.images.get(name); ok {
		return img, nil
	}
	img, err := j.find().Tagged(ctx, name, registry.Latest)
	if err == nil {
		j.images.set(name, img)
	}
	return img, hinted(err)
}

// load is the image of a product.
func (j *job) load(ctx context.Context, of Image) (layers.Image, error) {
	if img, ok := j.images.get(of.Name); ok && img.Digest() == of.Digest {
		return img, nil
	}
	if img, err := j.latest(ctx, of.Name); err == nil && img.Digest() == of.Digest {
		return img, nil
	}
	img, err := j.find().Digest(ctx, of.Name, of.Digest)
	return img, hinted(err)
}

// masterImage is the image that the squashfs, the conffs and the kernel of a
// master are made of: the given one of its rootfs, or when the plan does not make
// that the one that stands for it, or that --on names, else the one that the
// release which is served names, else latest.
func (j *job) masterImage(ctx context.Context, m *config.Master, rootfs *Image) (layers.Image, error) {
	if rootfs != nil {
		return j.load(ctx, *rootfs)
	}
	if img, ok := j.images.get(m.Image()); ok {
		return img, nil
	}
	img, err := j.find().Master(ctx, j.uploadDir(), m, j.On)
	return img, hinted(err)
}

// hinted adds to the error of an image that is not there how a build gets it.
func hinted(err error) error {
	if _, missing := errors.AsType[*MissingError](err); missing {
		return fmt.Errorf("%w: build it first, or add --build-parents", err)
	}
	return err
}
