package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// parallelBlobs is how many blobs of one image travel at a time.
const parallelBlobs = 4

// PushOptions say how an image is pushed.
type PushOptions struct {
	// Tags name the image once everything else is there: timestamps first,
	// "latest" last. None leaves it reachable by its digest only.
	Tags []string
	// MountFrom are other images in the registry that may hold the same
	// blobs, the likeliest first: the registry then copies, nothing travels.
	MountFrom []string
	// Inspect is asked about each blob that the registry does not have yet,
	// before any of it travels; its error keeps it out. Nil: not called.
	Inspect func(ctx context.Context, blob ocispec.Descriptor) error
}

// PushResult counts what a push did.
type PushResult struct {
	// Digest is the manifest's.
	Digest   digest.Digest
	Blobs    int   // uploaded: configuration and layers
	Bytes    int64 // uploaded, in those blobs
	Linked   int   // blobs hard-linked into the embedded registry
	Mounted  int   // blobs taken from another image in the registry
	Existing int   // blobs that were there
	// Tags name the image now, of those asked for. "latest" is missing when a
	// newer timestamp holds it. The timestamp is the earlier one when the image
	// did not change.
	Tags []string
}

// Push puts an image into the registry: the blobs that are missing there, the
// manifest, then the tags. A reader never sees an image in part.
//
// A timestamp that names something else already is ErrTagMoved. An image that
// the newest timestamp names did not change: it gets no new one, and nothing is
// uploaded.
func (r *Registry) Push(ctx context.Context, image string, desc ocispec.Descriptor, from content.Provider, o PushOptions) (PushResult, error) {
	ctx, done := r.limits.within(ctx)
	defer done()
	repo, err := r.repository(image)
	if err != nil {
		return PushResult{}, err
	}
	tags, unchanged, err := r.dueTags(ctx, image, desc, o.Tags)
	if err != nil {
		return PushResult{}, err
	}
	p := &push{Registry: r, image: image, repo: repo, from: from, inspect: o.Inspect}
	p.result.Digest = desc.Digest
	if p.manifest, err = readManifest(ctx, from, desc); err != nil {
		return PushResult{}, fmt.Errorf("pushing %q: %w", image, err)
	}
	if !unchanged {
		if err := p.content(ctx, o.MountFrom); err != nil {
			return p.result, err
		}
	}
	p.result.Tags, err = r.setTags(ctx, image, p.manifest, tags)
	r.log.Debug("pushed image", "image", image, "digest", desc.Digest, "tags", p.result.Tags,
		"uploaded", p.result.Blobs, "bytes", p.result.Bytes, "linked", p.result.Linked,
		"mounted", p.result.Mounted, "existing", p.result.Existing)
	return p.result, err
}

// dueTags says whether the newest timestamp names this image already, which
// then stands for those asked for. It is not "latest" that is looked at: a run
// that was killed may have left that one behind.
func (r *Registry) dueTags(ctx context.Context, image string, desc ocispec.Descriptor, tags []string) (due []string, unchanged bool, err error) {
	isTimestamp := func(tag string) bool {
		_, ok := ParseTimestamp(tag)
		return ok
	}
	if !slices.ContainsFunc(tags, isTimestamp) {
		return tags, false, nil
	}
	stamp, newest, err := r.newest(ctx, image)
	if err != nil || stamp == "" || newest.desc.Digest != desc.Digest {
		return tags, false, err
	}
	due = slices.DeleteFunc(slices.Clone(tags), isTimestamp)
	return append(due, stamp), true, nil
}

// manifest is an image's manifest as stored, and what it lists.
type manifest struct {
	desc  ocispec.Descriptor
	raw   []byte
	blobs []ocispec.Descriptor // configuration, layers
}

// RawManifest and MediaType make it a remote.Taggable with a type.
func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return types.MediaType(m.desc.MediaType), nil }

func readManifest(ctx context.Context, from content.Provider, desc ocispec.Descriptor) (manifest, error) {
	raw, err := content.ReadBlob(ctx, from, desc)
	if err != nil {
		return manifest{}, fmt.Errorf("reading manifest %s: %w", desc.Digest, err)
	}
	return parseManifest(desc, raw)
}

// parseManifest reads an image manifest, OCI's or Docker's.
func parseManifest(desc ocispec.Descriptor, raw []byte) (manifest, error) {
	m := manifest{desc: desc, raw: raw}
	if digest.FromBytes(raw) != desc.Digest {
		return m, fmt.Errorf("manifest %s: %w", desc.Digest, errBadContent)
	}
	if types.MediaType(desc.MediaType).IsSchema1() {
		return m, fmt.Errorf("manifest %s: it is of Docker's schema 1, which is obsolete: push the image again with a tool of today: %w",
			desc.Digest, errdefs.ErrInvalidArgument)
	}
	if !types.MediaType(desc.MediaType).IsImage() {
		return m, fmt.Errorf("manifest %s: media type %q is not that of an image: %w",
			desc.Digest, desc.MediaType, errdefs.ErrInvalidArgument)
	}
	var fields ocispec.Manifest
	if err := json.Unmarshal(raw, &fields); err != nil {
		return m, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	m.blobs = append([]ocispec.Descriptor{fields.Config}, fields.Layers...)
	for _, blob := range m.blobs {
		if err := blob.Digest.Validate(); err != nil || blob.Size < 0 {
			return m, fmt.Errorf("manifest %s: blob %q of %d bytes: %w",
				desc.Digest, blob.Digest, blob.Size, errdefs.ErrInvalidArgument)
		}
	}
	return m, nil
}

// checkBounds refuses an image that is absurdly large.
func (m manifest) checkBounds() error {
	total := int64(0)
	for _, blob := range m.blobs {
		if blob.Size > maxImageSize-total {
			return fmt.Errorf("manifest %s: the image has more than %d GiB: %w", m.desc.Digest, maxImageSize>>30, errdefs.ErrInvalidArgument)
		}
		total += blob.Size
	}
	if layers := len(m.blobs) - 1; layers > maxLayers {
		return fmt.Errorf("manifest %s: the image has %d layers, at most %d can be stacked: %w", m.desc.Digest, layers, maxLayers, errdefs.ErrInvalidArgument)
	}
	if size := m.blobs[0].Size; size > maxConfig {
		return fmt.Errorf("manifest %s: the configuration has %d bytes, at most %d are read: %w", m.desc.Digest, size, maxConfig, errdefs.ErrInvalidArgument)
	}
	return nil
}

// push is one image on its way.
type push struct {
	*Registry
	image    string
	repo     name.Repository
	from     content.Provider
	manifest manifest
	inspect  func(context.Context, ocispec.Descriptor) error // nil: no one

	mu     sync.Mutex
	result PushResult
}

// content uploads blobs and manifest. A manifest that is there vouches for
// its blobs: registries take none without them.
func (p *push) content(ctx context.Context, mountFrom []string) error {
	release, err := p.inUse(ctx)
	if err != nil {
		return err
	}
	defer release()
	byDigest := p.repo.Digest(p.manifest.desc.Digest.String())
	if _, err := p.Resolve(ctx, p.image, byDigest.Identifier()); err == nil {
		p.result.Existing = len(p.manifest.blobs)
		return nil
	} else if !errdefs.IsNotFound(err) {
		return err
	}
	sources, err := p.sources(mountFrom)
	if err != nil {
		return err
	}
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, blob := range distinct(p.manifest.blobs) {
		group.Go(func() error { return p.blob(ctx2, blob, sources) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return p.putManifest(ctx, p.image, byDigest, p.manifest)
}

func (p *push) sources(mountFrom []string) ([]name.Repository, error) {
	var sources []name.Repository
	for _, image := range mountFrom {
		source, err := p.repository(image)
		if err != nil {
			return nil, err
		}
		if source != p.repo {
			sources = append(sources, source)
		}
	}
	return sources, nil
}

// blob brings one blob into the repository in the cheapest way there is.
func (p *push) blob(ctx context.Context, desc ocispec.Descriptor, sources []name.Repository) error {
	if p.embedded != nil && p.inspect != nil && !p.embedded.holds(desc) {
		if err := p.inspect(ctx, desc); err != nil {
			return fmt.Errorf("pushing %q: %w", p.image, err)
		}
	}
	if p.embedded != nil && p.embedded.link(p.repo.RepositoryStr(), desc, p.blobPath) {
		p.count(func(result *PushResult) { result.Linked++ })
		return nil
	}
	doing := fmt.Sprintf("pushing blob %s of %q", desc.Digest, p.image)
	return p.do(ctx, doing, func(ctx context.Context) error {
		if there, err := p.hasBlob(ctx, p.repo, desc); err != nil {
			return err
		} else if there {
			p.count(func(result *PushResult) { result.Existing++ })
			return nil
		}
		layer := &blobLayer{ctx: ctx, desc: desc, from: p.from}
		upload := p.mountable(ctx, layer, sources)
		if upload == v1.Layer(layer) && p.inspect != nil {
			if err := p.inspect(ctx, desc); err != nil {
				return err
			}
		}
		if err := p.pusher.Upload(ctx, p.repo, upload); err != nil {
			return err
		}
		p.count(func(result *PushResult) {
			if layer.read.Load() {
				result.Blobs++
				result.Bytes += desc.Size
			} else {
				result.Mounted++
			}
		})
		return nil
	})
}

func (p *push) count(add func(*PushResult)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add(&p.result)
}

// hasBlob asks whether a repository holds a blob.
func (r *Registry) hasBlob(ctx context.Context, repo name.Repository, desc ocispec.Descriptor) (bool, error) {
	layer, err := r.puller.Layer(ctx, repo.Digest(desc.Digest.String()))
	if err != nil {
		return false, err
	}
	there, err := layer.(*remote.MountableLayer).Exists()
	if isNotFound(err) {
		return false, nil
	}
	return there, err
}

// putManifest writes a manifest under a tag or its digest.
func (r *Registry) putManifest(ctx context.Context, image string, ref name.Reference, m manifest) error {
	return r.do(ctx, fmt.Sprintf("writing %q of %q", ref.Identifier(), image), func(ctx context.Context) error {
		return r.pusher.Put(ctx, ref, m)
	})
}

// distinct drops repeated blobs: an empty layer often stands twice.
func distinct(blobs []ocispec.Descriptor) []ocispec.Descriptor {
	seen := map[digest.Digest]bool{}
	return slices.DeleteFunc(slices.Clone(blobs), func(blob ocispec.Descriptor) bool {
		defer func() { seen[blob.Digest] = true }()
		return seen[blob.Digest]
	})
}
