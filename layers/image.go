package layers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image in containerd's store: a value that never changes.
type Image struct {
	// Descriptor is that of the manifest.
	Descriptor ocispec.Descriptor
	Manifest   ocispec.Manifest
	Config     ocispec.Image
}

// Digest is the manifest's: it names the image.
func (i Image) Digest() digest.Digest { return i.Descriptor.Digest }

// ChainID names the snapshot that holds the image's root filesystem.
// Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#layer-chainid
func (i Image) ChainID() digest.Digest { return identity.ChainID(i.Config.RootFS.DiffIDs) }

// ErrNotBelow is the kind of error of two images of which one was not built on
// the other.
var ErrNotBelow = errors.New("one was not built on the other")

// Above returns the layers of i above those of parent, bottom first. It is an
// error when parent's layers are not the lower part of i's.
func (i Image) Above(parent Image) ([]ocispec.Descriptor, error) {
	below := parent.Config.RootFS.DiffIDs
	if len(below) > len(i.Config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("image %s has fewer layers than %s: %w", i.Digest(), parent.Digest(), ErrNotBelow)
	}
	for n, id := range below {
		if i.Config.RootFS.DiffIDs[n] != id {
			return nil, fmt.Errorf("layer %d of image %s is not that of %s: %w", n+1, i.Digest(), parent.Digest(), ErrNotBelow)
		}
	}
	return i.Manifest.Layers[len(below):], nil
}

// Image returns the image that name, which may end in a tag, stands for. The
// error is errdefs.ErrNotFound when containerd has none of that name.
func (e *Engine) Image(ctx context.Context, name string) (Image, error) {
	ctx = e.context(ctx)
	record, err := e.client.ImageService().Get(ctx, tagged(name))
	if err != nil {
		return Image{}, fmt.Errorf("looking up image %q: %w", name, err)
	}
	if err := e.keep(ctx, record.Target.Digest); err != nil {
		return Image{}, err
	}
	return e.read(ctx, record.Target)
}

// keep makes a blob, and what its labels refer to, stay until the run ends,
// whatever other runs give up meanwhile.
func (e *Engine) keep(ctx context.Context, blob digest.Digest) error {
	resource := leases.Resource{ID: blob.String(), Type: "content"}
	if err := e.client.LeasesService().AddResource(ctx, leases.Lease{ID: e.run.id}, resource); err != nil {
		return fmt.Errorf("keeping %s: %w", blob, err)
	}
	return nil
}

// SetImage makes name, which may end in a tag, stand for img.
func (e *Engine) SetImage(ctx context.Context, name string, img Image) error {
	ctx = e.context(ctx)
	record := images.Image{Name: tagged(name), Target: img.Descriptor}
	_, err := e.client.ImageService().Create(ctx, record)
	if errdefs.IsAlreadyExists(err) {
		_, err = e.client.ImageService().Update(ctx, record, "target")
	}
	if err != nil {
		return fmt.Errorf("naming image %q: %w", name, err)
	}
	return nil
}

// Images lists the names that containerd has for vauban's images.
func (e *Engine) Images(ctx context.Context) ([]images.Image, error) {
	return e.client.ImageService().List(e.context(ctx))
}

// RemoveImages forgets names, and waits until what no other name or run keeps
// is collected.
func (e *Engine) RemoveImages(ctx context.Context, names ...string) error {
	for i, name := range names {
		var options []images.DeleteOpt
		if i == len(names)-1 {
			options = append(options, images.SynchronousDelete())
		}
		if err := e.client.ImageService().Delete(e.context(ctx), name, options...); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("removing image %q: %w", name, err)
		}
	}
	return nil
}

// Load makes an image of a manifest whose blobs are all in the store already,
// as after a pull: it labels them for containerd's garbage collector.
func (e *Engine) Load(ctx context.Context, desc ocispec.Descriptor) (Image, error) {
	ctx = e.Context(ctx)
	img, err := e.read(ctx, desc)
	if err == nil {
		err = img.checkForeign()
	}
	if err != nil {
		return Image{}, err
	}
	if img.Descriptor, err = e.writeManifest(ctx, desc, img); err != nil {
		return Image{}, err
	}
	return img, e.unpack(ctx, img)
}

func (e *Engine) read(ctx context.Context, desc ocispec.Descriptor) (Image, error) {
	img := Image{Descriptor: desc}
	if err := e.readJSON(ctx, desc, &img.Manifest); err != nil {
		return Image{}, fmt.Errorf("reading manifest %s: %w", desc.Digest, err)
	}
	if err := e.readJSON(ctx, img.Manifest.Config, &img.Config); err != nil {
		return Image{}, fmt.Errorf("reading the configuration of %s: %w", desc.Digest, err)
	}
	if len(img.Manifest.Layers) != len(img.Config.RootFS.DiffIDs) {
		return Image{}, fmt.Errorf("image %s names %d layers and %d diffIDs: it is damaged", desc.Digest, len(img.Manifest.Layers), len(img.Config.RootFS.DiffIDs))
	}
	for _, id := range img.Config.RootFS.DiffIDs {
		if err := id.Validate(); err != nil {
			return Image{}, fmt.Errorf("image %s: diffID %.80q: %w", desc.Digest, id, err)
		}
	}
	return img, nil
}

func (e *Engine) readJSON(ctx context.Context, desc ocispec.Descriptor, into any) error {
	info, err := e.Store().Info(ctx, desc.Digest)
	if err != nil {
		return err
	}
	if info.Size > maxDocument {
		return fmt.Errorf("it has %d bytes, at most %d are read", info.Size, maxDocument)
	}
	blob, err := content.ReadBlob(ctx, e.Store(), desc)
	if err == nil && digest.FromBytes(blob) != desc.Digest {
		err = errors.New("the content does not have the digest")
	}
	if err == nil {
		err = json.Unmarshal(blob, into)
	}
	return e.damaged(ctx, err, desc)
}

// unpack makes the image's snapshots, where they are not there yet.
func (e *Engine) unpack(ctx context.Context, img Image) error {
	var todo []rootfs.Layer
	for i, blob := range img.Manifest.Layers {
		diff := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: img.Config.RootFS.DiffIDs[i]}
		todo = append(todo, rootfs.Layer{Diff: diff, Blob: blob})
	}
	limits, err := unpackBounds(e.stateDir, e.limits)
	if err != nil {
		return err
	}
	applier := &boundedApplier{Applier: e.client.DiffService(), store: e.Store(), bounds: limits}
	if _, err := rootfs.ApplyLayers(ctx, todo, e.snapshots(), applier); err != nil {
		return fmt.Errorf("unpacking image %s: %w", img.Digest(), e.damaged(ctx, err, img.Manifest.Layers...))
	}
	return nil
}

// Change is what becomes of an image's metadata when a layer is added to it.
type Change struct {
	// Created is the layer's date and the image's.
	Created time.Time
	// CreatedBy says what made the layer, for the image's history.
	CreatedBy string
	// Labels are added to the image's configuration. The manifest has all
	// of the configuration's labels as annotations.
	Labels map[string]string
	// Inspect looks at what the layer holds before it is stored. Nil: nobody
	// does.
	Inspect Inspect
}

// layer is a blob in the store and the digest of what it holds.
type layer struct {
	blob   ocispec.Descriptor
	diffID digest.Digest
}

// addLayer gives the image that l on top of parent makes. cfg replaces the
// parent's run configuration.
func (e *Engine) addLayer(ctx context.Context, parent Image, cfg ocispec.ImageConfig, l layer, c Change) (Image, error) {
	created := c.Created.UTC()
	img := Image{Config: parent.Config, Manifest: ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Layers:    append(append([]ocispec.Descriptor{}, parent.Manifest.Layers...), l.blob),
	}}
	img.Config.Platform = platforms.DefaultSpec()
	img.Config.Created = &created
	img.Config.Config = cfg
	img.Config.Config.Labels = merged(cfg.Labels, c.Labels)
	img.Manifest.Annotations = merged(img.Config.Config.Labels, map[string]string{ocispec.AnnotationCreated: created.Format(time.RFC3339)})
	img.Config.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: append(append([]digest.Digest{}, parent.Config.RootFS.DiffIDs...), l.diffID)}
	img.Config.History = append(append([]ocispec.History{}, parent.Config.History...),
		ocispec.History{Created: &created, CreatedBy: c.CreatedBy})

	blob, err := json.Marshal(img.Config)
	if err != nil {
		return Image{}, err
	}
	img.Manifest.Config = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	labels := map[string]string{labelSnapshot: img.ChainID().String()}
	if err := e.writeBlob(ctx, img.Manifest.Config, blob, labels); err != nil {
		return Image{}, fmt.Errorf("writing the image's configuration: %w", err)
	}
	img.Descriptor, err = e.writeManifest(ctx, ocispec.Descriptor{}, img)
	return img, err
}

// writeManifest stores the manifest, or labels the one that desc says is
// there, so that containerd's garbage collector keeps what it refers to.
func (e *Engine) writeManifest(ctx context.Context, desc ocispec.Descriptor, img Image) (ocispec.Descriptor, error) {
	labels := map[string]string{"containerd.io/gc.ref.content.config": img.Manifest.Config.Digest.String()}
	for i, l := range img.Manifest.Layers {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.l.%d", i)] = l.Digest.String()
	}
	if desc.Digest == "" {
		blob, err := json.Marshal(img.Manifest)
		if err != nil {
			return desc, err
		}
		platform := platforms.DefaultSpec()
		desc = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(blob), Size: int64(len(blob)), Platform: &platform}
		if err := e.writeBlob(ctx, desc, blob, labels); err != nil {
			return desc, fmt.Errorf("writing the manifest: %w", err)
		}
		return desc, nil
	}
	if err := e.label(ctx, desc.Digest, labels); err != nil {
		return desc, err
	}
	return desc, e.label(ctx, img.Manifest.Config.Digest,
		map[string]string{labelSnapshot: img.ChainID().String()})
}

func (e *Engine) writeBlob(ctx context.Context, desc ocispec.Descriptor, blob []byte, labels map[string]string) error {
	writing, cancel := context.WithCancel(ctx) // ends the stream: its writer does not
	defer cancel()
	err := content.WriteBlob(writing, e.Store(), "blob-"+desc.Digest.String(), bytes.NewReader(blob), desc, content.WithLabels(labels))
	if err != nil {
		return err
	}
	// A blob that was there before keeps its old labels.
	return e.label(ctx, desc.Digest, labels)
}

func (e *Engine) label(ctx context.Context, blob digest.Digest, labels map[string]string) error {
	paths := make([]string, 0, len(labels))
	for name := range labels {
		paths = append(paths, "labels."+name)
	}
	if _, err := e.Store().Update(ctx, content.Info{Digest: blob, Labels: labels}, paths...); err != nil {
		return fmt.Errorf("labelling %s: %w", blob, err)
	}
	return nil
}

func merged(base, over map[string]string) map[string]string {
	all := make(map[string]string, len(base)+len(over))
	for k, v := range base {
		all[k] = v
	}
	for k, v := range over {
		all[k] = v
	}
	return all
}

// tagged gives a name without a tag the tag latest.
func tagged(name string) string {
	if strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		return name
	}
	return name + ":latest"
}
