package registry

import (
	"bytes"
	"context"
	"encoding/json"
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
// so that one request fetches it.
// Reference: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidelines-for-artifact-usage
func (r *Registry) PushArtifact(ctx context.Context, image, tag, mediaType string, data []byte) (PushResult, error) {
	if len(data) == 0 || len(data) > maxArtifact {
		return PushResult{}, fmt.Errorf("pushing artifact %q: %d bytes, but it must have 1 to %d",
			r.Reference(image, tag), len(data), maxArtifact)
	}
	desc, manifest, err := artifact(mediaType, data)
	if err != nil {
		return PushResult{}, fmt.Errorf("pushing artifact %q: %w", r.Reference(image, tag), err)
	}
	empty := ocispec.DescriptorEmptyJSON
	there, err := r.Resolve(ctx, image, tag)
	if err == nil && there.Digest == desc.Digest {
		return PushResult{Existing: 2, Tags: []string{tag}}, nil
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return PushResult{}, err
	}
	from := documents{desc.Digest: manifest, digest.FromBytes(data): data, empty.Digest: empty.Data}
	return r.Push(ctx, image, desc, from, PushOptions{Tags: []string{tag}})
}

// ArtifactDigest is what Resolve tells of a tag that names the document.
func ArtifactDigest(mediaType string, data []byte) (digest.Digest, error) {
	desc, _, err := artifact(mediaType, data)
	return desc.Digest, err
}

func artifact(mediaType string, data []byte) (ocispec.Descriptor, []byte, error) {
	layer := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), Data: data}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: mediaType,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{layer},
	})
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.FromBytes(manifest),
		Size:      int64(len(manifest)),
	}, manifest, err
}

// FetchArtifact is the document that PushArtifact stored. errdefs.ErrNotFound
// when there is none of that media type under the tag.
func (r *Registry) FetchArtifact(ctx context.Context, image, tag, mediaType string) ([]byte, error) {
	got, err := r.get(ctx, image, tag)
	if err != nil {
		return nil, err
	}
	wrong := func(why string) error {
		return fmt.Errorf("fetching artifact %q: %s: %w", r.Reference(image, tag), why, errdefs.ErrNotFound)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(got.Manifest, &manifest); err != nil {
		return nil, wrong("its manifest is damaged")
	}
	if manifest.ArtifactType != mediaType || len(manifest.Layers) != 1 {
		return nil, wrong(fmt.Sprintf("it is no %s", mediaType))
	}
	layer := manifest.Layers[0]
	if digest.FromBytes(layer.Data) != layer.Digest {
		return nil, wrong("its manifest does not hold the document")
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
