package build

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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
			r.Log.Warn("a newer run holds latest; this image keeps its timestamp alone", "image", name, "tag", r.Tag)
		}
	}
	if err := r.Engine.SetImage(ctx, name, img); err != nil {
		return err
	}
	r.remember(name, img)
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
// what the registry says, taken from containerd when it is there.
func (r *Runner) image(ctx context.Context, name, tag string) (layers.Image, error) {
	if img, ok := r.remembered(name); ok && tag == registry.Latest {
		return img, nil
	}
	desc, err := r.Registry.Resolve(ctx, name, tag)
	if errdefs.IsNotFound(err) {
		// An image that was built with --no-push.
		img, local := r.Engine.Image(ctx, name+":"+tag)
		if local == nil {
			return img, nil
		}
		return layers.Image{}, fmt.Errorf("image %q has no tag %q: build it first, or add --build-parents: %w", name, tag, err)
	} else if err != nil {
		return layers.Image{}, err
	}
	img, err := r.fetch(ctx, name, tag, desc)
	if err == nil && tag == registry.Latest {
		r.remember(name, img)
	}
	return img, err
}

// imageByDigest is one image of a name, whatever its tags.
func (r *Runner) imageByDigest(ctx context.Context, name string, digest digest.Digest) (layers.Image, error) {
	if info, err := r.Engine.Store().Info(r.Engine.Context(ctx), digest); err == nil {
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest, Size: info.Size}
		if img, err := r.Engine.Load(ctx, desc); err == nil {
			return img, nil
		}
	}
	return r.pull(ctx, name, digest.String())
}

func (r *Runner) fetch(ctx context.Context, name, tag string, desc ocispec.Descriptor) (layers.Image, error) {
	if img, err := r.Engine.Load(ctx, desc); err == nil {
		return img, nil
	}
	return r.pull(ctx, name, tag)
}

// pull brings an image here under the name that the registry has for it.
func (r *Runner) pull(ctx context.Context, name, tag string) (layers.Image, error) {
	r.say("pulling %s", r.Registry.Reference(name, tag))
	pulled, err := r.Registry.Pull(r.Engine.Context(ctx), name, tag, r.Engine.Store())
	if err != nil {
		return layers.Image{}, err
	}
	img, err := r.Engine.Load(ctx, pulled.Descriptor)
	if err != nil {
		return layers.Image{}, err
	}
	separator := ":"
	if strings.Contains(tag, ":") { // a digest
		separator = "@"
	}
	return img, r.Engine.SetImage(ctx, name+separator+tag, img)
}
