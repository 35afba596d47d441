package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxArtifact bounds an artifact, in bytes: it stands in its manifest, for
// which registries must take 4 MiB, in base64.
const maxArtifact = 1 << 20

// PushArtifact stores a small document under a tag of an image, by the same
// rules as Push for the tag. Nothing is uploaded when it is there.
//
// The manifest is that of an OCI 1.1 artifact, with the document also inside,
// so that one request fetches it. A registry that takes only images gets one of
// which the document is the layer.
// Reference: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidelines-for-artifact-usage
func (r *Registry) PushArtifact(ctx context.Context, image, tag, mediaType string, data []byte) (PushResult, error) {
	if len(data) == 0 || len(data) > maxArtifact {
		return PushResult{}, fmt.Errorf("pushing artifact %q: %d bytes, but it must have 1 to %d",
			r.Reference(image, tag), len(data), maxArtifact)
	}
	there, err := r.Resolve(ctx, image, tag)
	if err != nil && !errdefs.IsNotFound(err) {
		return PushResult{}, err
	}
	if !r.imagesOnly.Load() {
		result, err := r.pushDocument(ctx, image, tag, artifact(mediaType, data), there)
		if !isRefused(err) {
			return result, err
		}
		r.log.Debug("the registry takes only images: storing documents as images", "image", image, "cause", err)
		r.imagesOnly.Store(true)
	}
	return r.pushDocument(ctx, image, tag, artifactImage(mediaType, data), there)
}

func (r *Registry) pushDocument(ctx context.Context, image, tag string, m ocispec.Manifest, there ocispec.Descriptor) (PushResult, error) {
	desc, manifest, err := encodeManifest(m)
	if err != nil {
		return PushResult{}, fmt.Errorf("pushing artifact %q: %w", r.Reference(image, tag), err)
	}
	if there.Digest == desc.Digest {
		return PushResult{Digest: desc.Digest, Existing: 2, Tags: []string{tag}}, nil
	}
	from := documents{desc.Digest: manifest, m.Config.Digest: m.Config.Data, m.Layers[0].Digest: m.Layers[0].Data}
	return r.Push(ctx, image, desc, from, PushOptions{Tags: []string{tag}})
}

// IsArtifact says whether a manifest's digest is that of the document as
// PushArtifact stores it.
func IsArtifact(is digest.Digest, mediaType string, data []byte) bool {
	for _, m := range []ocispec.Manifest{artifact(mediaType, data), artifactImage(mediaType, data)} {
		if desc, _, err := encodeManifest(m); err == nil && desc.Digest == is {
			return true
		}
	}
	return false
}

func artifact(mediaType string, data []byte) ocispec.Manifest {
	return ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: mediaType,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{inline(mediaType, data)},
	}
}

// annotationArtifact is the media type of a document that is stored as an image.
const annotationArtifact = "vauban.artifact"

// artifactImage is the document as an image, for registries that take nothing
// else. Its platform keeps anyone from running it.
func artifactImage(mediaType string, data []byte) ocispec.Manifest {
	layer := inline(ocispec.MediaTypeImageLayer, data)
	config := fmt.Sprintf(`{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[%q]}}`, layer.Digest)
	return ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageManifest,
		Config:      inline(ocispec.MediaTypeImageConfig, []byte(config)),
		Layers:      []ocispec.Descriptor{layer},
		Annotations: map[string]string{annotationArtifact: mediaType},
	}
}

// inline describes a blob and holds it.
func inline(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), Data: data}
}

func encodeManifest(m ocispec.Manifest) (ocispec.Descriptor, []byte, error) {
	raw, err := json.Marshal(m)
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromBytes(raw),
		Size:      int64(len(raw)),
	}, raw, err
}

// FetchArtifact is the document that PushArtifact stored. errdefs.ErrNotFound
// when there is none of that media type under the tag.
func (r *Registry) FetchArtifact(ctx context.Context, image, tag, mediaType string) ([]byte, error) {
	got, err := r.get(ctx, image, tag)
	if err != nil {
		return nil, err
	}
	data, err := documentIn(got.Manifest, mediaType)
	if err != nil {
		return nil, fmt.Errorf("fetching artifact %q: %w: %w", r.Reference(image, tag), err, errdefs.ErrNotFound)
	}
	return data, nil
}

// documentIn is the document in the manifest of an artifact.
func documentIn(raw []byte, mediaType string) ([]byte, error) {
	var manifest ocispec.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, errors.New("its manifest is damaged")
	}
	is := cmp.Or(manifest.ArtifactType, manifest.Annotations[annotationArtifact])
	if is != mediaType || len(manifest.Layers) != 1 {
		return nil, fmt.Errorf("it is not a %s", mediaType)
	}
	layer := manifest.Layers[0]
	if digest.FromBytes(layer.Data) != layer.Digest {
		return nil, errors.New("its manifest does not hold the document")
	}
	return layer.Data, nil
}

// documents are blobs in memory.
type documents map[digest.Digest][]byte

// ReaderAt implements content.Provider.
func (d documents) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	data, ok := d[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	return document{bytes.NewReader(data)}, nil
}

type document struct{ *bytes.Reader }

func (document) Close() error { return nil }
