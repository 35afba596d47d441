package layers

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Adopt makes an image of the layers of another one, made elsewhere, whose
// blobs are all in the store. Of its configuration nothing stays; labels are its
// labels and the manifest's annotations. The same image gives the same one.
func (e *Engine) Adopt(ctx context.Context, desc ocispec.Descriptor, labels map[string]string) (Image, error) {
	ctx = e.Context(ctx)
	img, err := e.read(ctx, desc)
	if err == nil {
		err = img.checkForeign()
	}
	if err != nil {
		return Image{}, err
	}
	img.Manifest = ocispec.Manifest{Versioned: img.Manifest.Versioned, MediaType: ocispec.MediaTypeImageManifest,
		Layers: img.Manifest.Layers, Annotations: labels}
	img.Manifest.SchemaVersion = 2
	for i := range img.Manifest.Layers {
		l := &img.Manifest.Layers[i]
		*l = ocispec.Descriptor{MediaType: ociLayerType(l.MediaType), Digest: l.Digest, Size: l.Size}
	}
	img.Config.Config = ocispec.ImageConfig{Labels: labels}
	img.Config.History = wholeHistory(img)
	blob, err := json.Marshal(img.Config)
	if err != nil {
		return Image{}, err
	}
	img.Manifest.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	if err := e.writeBlob(ctx, img.Manifest.Config, blob, map[string]string{labelSnapshot: img.ChainID().String()}); err != nil {
		return Image{}, fmt.Errorf("writing the image's configuration: %w", err)
	}
	if img.Descriptor, err = e.writeManifest(ctx, ocispec.Descriptor{}, img); err != nil {
		return Image{}, err
	}
	return img, e.unpack(ctx, img)
}

// ociLayerType is OCI's word for the type of a layer of Docker's.
// Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/media-types.md#compatibility-matrix
func ociLayerType(mediaType string) string {
	switch mediaType {
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return mediaType
}

// maxHistory bounds the text of a history that is taken over, in bytes: every
// image that is built on it has it again.
const maxHistory = 256 << 10

// wholeHistory has an entry for each layer: some tools write none, and what is
// built on the image adds to it.
func wholeHistory(img Image) []ocispec.History {
	count, size := 0, 0
	for _, entry := range img.Config.History {
		if !entry.EmptyLayer {
			count++
		}
		size += len(entry.CreatedBy) + len(entry.Author) + len(entry.Comment) + 64
	}
	if count == len(img.Manifest.Layers) && size <= maxHistory {
		return img.Config.History
	}
	var history []ocispec.History
	for _, l := range img.Manifest.Layers {
		history = append(history, ocispec.History{Created: img.Config.Created, CreatedBy: "layer " + l.Digest.String()})
	}
	return history
}
