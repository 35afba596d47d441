package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"vauban/release"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/config"
	"vauban/layers"
	"vauban/registry"
)

// Images finds images, in containerd or in the registry.
type Images struct {
	Engine   *layers.Engine
	Registry *registry.Registry
	// Pulling is told the reference of what is about to be pulled.
	Pulling func(reference string)
}

// MissingError is that of an image that is neither here nor in the registry.
type MissingError struct{ Name, Tag string }

func (e *MissingError) Error() string { return fmt.Sprintf("image %q has no tag %q", e.Name, e.Tag) }

// Unwrap makes it errdefs.ErrNotFound.
func (e *MissingError) Unwrap() error { return errdefs.ErrNotFound }

// Tagged is the image that the registry has for name and tag, taken from
// containerd when it is there, or one that was built without pushing it. The
// error is errdefs.ErrNotFound when there is neither.
func (i Images) Tagged(ctx context.Context, name, tag string) (layers.Image, error) {
	desc, err := i.Registry.Resolve(ctx, name, tag)
	if errdefs.IsNotFound(err) {
		// An image that was built with --no-push.
		img, local := i.Engine.Image(ctx, name+":"+tag)
		if local == nil {
			return img, nil
		}
		return layers.Image{}, &MissingError{name, tag}
	} else if err != nil {
		return layers.Image{}, err
	}
	local, localErr := i.Engine.Image(ctx, name+":"+tag)
	img, err := i.Engine.Load(ctx, desc)
	if err != nil {
		img, err = i.Pull(ctx, name, tag)
	}
	if err == nil && localErr == nil && newer(local, img) {
		// Built here since, with --no-push.
		return local, i.Engine.SetImage(ctx, name+":"+tag, local)
	}
	return img, err
}

// Annotations are those of the image that Tagged gives, as far as nothing has
// to be pulled for them.
func (i Images) Annotations(ctx context.Context, name, tag string) (map[string]string, error) {
	annotations, err := i.Registry.Annotations(ctx, name, tag)
	if !errdefs.IsNotFound(err) {
		return annotations, err
	}
	img, err := i.Engine.Image(ctx, name+":"+tag)
	return img.Manifest.Annotations, err
}

// newer reports whether one image was built after another.
func newer(a, b layers.Image) bool {
	return a.Config.Created != nil && b.Config.Created != nil && a.Config.Created.After(*b.Config.Created)
}

// Digest is one image of a name, whatever its tags.
func (i Images) Digest(ctx context.Context, name string, of digest.Digest) (layers.Image, error) {
	if info, err := i.Engine.Store().Info(i.Engine.Context(ctx), of); err == nil {
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: of, Size: info.Size}
		if img, err := i.Engine.Load(ctx, desc); err == nil {
			return img, nil
		}
	}
	return i.Pull(ctx, name, of.String())
}

// Reference is the image that NAME[:TAG] or NAME@DIGEST stands for; without
// either it is latest.
func (i Images) Reference(ctx context.Context, reference string) (layers.Image, error) {
	name, tag := registry.SplitReference(reference)
	if strings.Contains(reference, "@") {
		if err := digest.Digest(tag).Validate(); err != nil {
			return layers.Image{}, fmt.Errorf("reading image %q: %w", reference, err)
		}
		return i.Digest(ctx, name, digest.Digest(tag))
	}
	return i.Tagged(ctx, name, cmp.Or(tag, registry.Latest))
}

// Master is the image that parts of a master are made of when its rootfs is
// not built with them: the one tagged on, or if that is empty the one that the
// current release in the tree at uploadDir names, else latest.
func (i Images) Master(ctx context.Context, uploadDir string, m *config.Master, on string) (layers.Image, error) {
	if on != "" {
		return i.Tagged(ctx, m.Image(), on)
	}
	current, err := release.Current(uploadDir, m.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return i.Tagged(ctx, m.Image(), registry.Latest)
	} else if err != nil {
		return layers.Image{}, err
	}
	return i.Digest(ctx, m.Image(), current.Rootfs.Image)
}

// Pull brings an image here under the name that the registry has for it.
func (i Images) Pull(ctx context.Context, name, tag string) (layers.Image, error) {
	i.Pulling(i.Registry.Reference(name, tag))
	pulled, err := i.Registry.Pull(i.Engine.Context(ctx), name, tag, i.Engine.Store())
	if errdefs.IsNotFound(err) {
		return layers.Image{}, &MissingError{name, tag}
	} else if err != nil {
		return layers.Image{}, err
	}
	img, err := i.Engine.Load(ctx, pulled.Descriptor)
	if err != nil {
		return layers.Image{}, err
	}
	separator := ":"
	if strings.Contains(tag, ":") { // a digest
		separator = "@"
	}
	return img, i.Engine.SetImage(ctx, name+separator+tag, img)
}
