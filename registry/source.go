package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"vauban/internal/text"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Source is an image of any registry.
type Source struct {
	Hostname string // for Options
	Image    string
	Tag      string // a tag or a digest
}

// ParseSource reads a reference as container tools do: debian:12 is
// docker.io/library/debian:12, without a tag it is latest, and a digest wins
// over a tag.
func ParseSource(text string) (Source, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return Source{}, fmt.Errorf("reading the image %q: %w", text, err)
	}
	s := Source{Hostname: reference.Domain(named), Image: reference.Path(named), Tag: Latest}
	if tagged, ok := named.(reference.Tagged); ok {
		s.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		s.Tag = digested.Digest().String()
	}
	return s, nil
}

// String is the reference.
func (s Source) String() string {
	separator := ":"
	if isDigest(s.Tag) {
		separator = "@"
	}
	return s.Hostname + "/" + s.Image + separator + s.Tag
}

// IsDigest reports whether the tag is one, which cannot move.
func (s Source) IsDigest() bool { return isDigest(s.Tag) }

// Digest is what a tag of an image names, an index where it is for several
// architectures. It takes one small request, which registries do not count as a
// pull. errdefs.ErrNotFound.
func (r *Registry) Digest(ctx context.Context, image, tag string) (digest.Digest, error) {
	ref, err := r.reference(image, tag)
	if err != nil {
		return "", err
	}
	var found digest.Digest
	err = r.do(ctx, fmt.Sprintf("resolving %q", r.Reference(image, tag)), func(ctx context.Context) error {
		head, err := r.puller.Head(ctx, ref)
		if err == nil {
			found = digest.Digest(head.Digest.String())
		}
		return err
	})
	if err == nil || errdefs.IsNotFound(err) || errdefs.IsUnavailable(err) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) {
		return found, err
	}
	desc, err := r.Resolve(ctx, image, tag) // some servers know no HEAD
	return desc.Digest, err
}

// Choose gives the manifest that an image has for the options' architecture,
// and its configuration. What is not an image of a Linux system for it is an error.
func (r *Registry) Choose(ctx context.Context, image, tag string) (ocispec.Descriptor, ocispec.Image, error) {
	m, err := r.fetchManifest(ctx, image, tag)
	if err != nil {
		return ocispec.Descriptor{}, ocispec.Image{}, err
	}
	name := r.Reference(image, tag)
	if err := m.checkLayers(); err != nil {
		return ocispec.Descriptor{}, ocispec.Image{}, fmt.Errorf("looking at %q: %w", name, err)
	}
	var cfg ocispec.Image
	if err := r.readBlob(ctx, image, m.blobs[0], &cfg); err != nil {
		return ocispec.Descriptor{}, ocispec.Image{}, fmt.Errorf("reading the configuration of %q: %w", name, err)
	}
	if cfg.OS != "linux" || cfg.Architecture != r.platform.Architecture {
		return ocispec.Descriptor{}, ocispec.Image{}, fmt.Errorf("%q is for %s/%s, not for %s: %w", name, cfg.OS, cfg.Architecture, r.platform, errdefs.ErrInvalidArgument)
	}
	return m.desc, cfg, nil
}

// checkLayers refuses artifacts, which are stored as images are, and layers
// that are not in the registry, as Windows' are.
func (m manifest) checkLayers() error {
	if !images.IsConfigType(m.blobs[0].MediaType) {
		return fmt.Errorf("it is not an image but an artifact of the type %q: %w", m.blobs[0].MediaType, errdefs.ErrInvalidArgument)
	}
	if len(m.blobs) == 1 {
		return fmt.Errorf("it has no layers, so it contains no root filesystem: %w", errdefs.ErrInvalidArgument)
	}
	for _, layer := range m.blobs[1:] {
		if !images.IsLayerType(layer.MediaType) || images.IsNonDistributable(layer.MediaType) {
			return fmt.Errorf("layer %s of the type %q is none of a root filesystem that the registry has: %w", layer.Digest, layer.MediaType, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// readBlob reads a small blob of JSON.
func (r *Registry) readBlob(ctx context.Context, image string, desc ocispec.Descriptor, into any) error {
	repo, err := r.repository(image)
	if err != nil {
		return err
	}
	p := &pull{Registry: r, image: image, repo: repo}
	var data []byte
	err = r.do(ctx, fmt.Sprintf("pulling blob %s of %q", desc.Digest, image), func(ctx context.Context) error {
		blob, err := p.open(ctx, desc)
		if err != nil {
			return err
		}
		defer blob.Close()
		if data, err = io.ReadAll(io.LimitReader(blob, desc.Size+1)); err != nil {
			return err
		}
		if digest.FromBytes(data) != desc.Digest {
			return errBadContent
		}
		return nil
	})
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// choosePlatform finds the manifest of an index for the options' platform. One
// without a platform is for linux/amd64, as other clients have it.
func (r *Registry) choosePlatform(raw []byte) (digest.Digest, error) {
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return "", fmt.Errorf("reading the index: %w", err)
	}
	for _, m := range index.Manifests {
		platform := v1.Platform{OS: "linux", Architecture: "amd64"}
		if m.Platform != nil {
			platform = *m.Platform
		}
		if !platform.Satisfies(*r.platform) {
			continue
		}
		chosen := digest.Digest(m.Digest.String())
		if err := chosen.Validate(); err != nil {
			return "", fmt.Errorf("reading the index: its manifest for %s has no valid digest: %w", r.platform, err)
		}
		return chosen, nil
	}
	return "", noPlatform(raw, r.platform)
}

// maxListed is how many platforms an error lists.
const maxListed = 10

// noPlatform says which platforms an index has instead of the one wanted.
func noPlatform(raw []byte, wanted fmt.Stringer) error {
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return err
	}
	var have []string
	for _, m := range index.Manifests {
		if m.Platform != nil && m.Platform.OS != "unknown" { // attestations have that
			have = append(have, strings.TrimSuffix(m.Platform.OS+"/"+m.Platform.Architecture+"/"+m.Platform.Variant, "/"))
		}
	}
	return fmt.Errorf("it has no image for %s, but for %s: %w", wanted, clean(text.First(maxListed, have)), errdefs.ErrNotFound)
}
