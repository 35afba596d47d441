package layers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/layers/diff"
)

// ImportRootfs makes an image of one layer from the tar of a root filesystem,
// which may not be compressed.
func (e *Engine) ImportRootfs(ctx context.Context, tar io.Reader, cfg ocispec.ImageConfig, change Change) (Image, error) {
	ctx = e.Context(ctx)
	limits := bounds{bytes: e.maxImport}.withDefaults()
	tar = &countedReader{ctx: ctx, Reader: tar, left: limits.bytes}
	l, err := e.storeLayer(ctx, func(w io.Writer) error {
		labels, err := inspected(w, change.Inspect, "", func(w io.Writer) error {
			_, err := io.Copy(w, tar)
			if errors.Is(err, errTooMuch) {
				err = limits.tooLarge()
			}
			return err
		})
		cfg.Labels = relabelled(cfg.Labels, labels)
		return err
	})
	if err != nil {
		return Image{}, fmt.Errorf("importing a root filesystem: %w", err)
	}
	img, err := e.addLayer(ctx, Image{}, cfg, l, change)
	if err != nil {
		return Image{}, err
	}
	return img, e.unpack(ctx, img)
}

// Mount shows the image's root filesystem, read-only, to fn. Its devices cannot
// be opened and its programs not be run; they are there to be packed.
func (e *Engine) Mount(ctx context.Context, img Image, fn func(root string) error) (err error) {
	ctx = e.Context(ctx)
	if err := e.unpacked(ctx, img); err != nil {
		return err
	}
	key := "view-" + e.run.id + "-" + strings.ToLower(rand.Text()[:8])
	mounts, err := e.snapshots().View(ctx, key, img.ChainID().String())
	if err != nil {
		return fmt.Errorf("making a view of %s: %w", img.Digest(), err)
	}
	root := filepath.Join(e.run.dir, key)
	defer func() {
		ctx, cancel := afterwards(ctx)
		defer cancel()
		removed := e.snapshots().Remove(ctx, key)
		if errdefs.IsNotFound(removed) {
			removed = nil
		}
		err = errors.Join(err, removeUnmounted(root), removed)
	}()
	target := filepath.Join(root, "rootfs")
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	if mounts, err = asOverlay(mounts, root); err != nil {
		return err
	}
	for i := range mounts {
		mounts[i].Options = append(slices.Clone(mounts[i].Options), "nodev", "nosuid", "noexec")
	}
	if err := mount.All(mounts, target); err != nil {
		return fmt.Errorf("mounting %s: %w", img.Digest(), err)
	}
	return fn(target)
}

// asOverlay turns the bind mount that a single layer's view is into an
// overlay mount: a bind mount would show overlayfs' own attributes.
func asOverlay(mounts []mount.Mount, dir string) ([]mount.Mount, error) {
	if len(mounts) != 1 || mounts[0].Type == "overlay" {
		return mounts, nil
	}
	empty := filepath.Join(dir, "empty")
	if err := os.MkdirAll(empty, 0o755); err != nil {
		return nil, err
	}
	return []mount.Mount{{Type: "overlay", Source: "overlay",
		Options: []string{"ro", "lowerdir=" + mounts[0].Source + ":" + empty}}}, nil
}

// Difference writes what a host's image changes in its master's: one tar that
// is laid over the master's root filesystem as an overlayfs layer. The
// master's layers must be the lower part of the host's. On top come those
// that are in no image: what they hold must not be pushed.
func (e *Engine) Difference(ctx context.Context, master, host Image, w io.Writer, o diff.MergeOptions, top ...diff.Open) (report diff.Report, err error) {
	above, err := host.Above(master)
	if err != nil {
		return report, err
	}
	ctx = e.Context(ctx)
	var tars []diff.Open
	for _, blob := range above {
		tars = append(tars, func() (io.ReadCloser, error) { return e.openLayer(ctx, blob) })
	}
	tars = append(tars, top...)
	err = e.Mount(ctx, master, func(root string) error {
		report, err = diff.Merge(ctx, w, root, tars, o)
		return err
	})
	return report, err
}
