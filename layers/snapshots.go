package layers

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// labelSnapshot is by which an image's configuration keeps its snapshots.
const labelSnapshot = "containerd.io/gc.ref.snapshot." + snapshotter

func snapshotResource(chain digest.Digest) leases.Resource {
	return leases.Resource{ID: chain.String(), Type: "snapshots/" + snapshotter}
}

// unpacked sees to it that the image's snapshot is there until the run ends.
// It is leased before it is looked for: another run may give it up just now.
func (e *Engine) unpacked(ctx context.Context, img Image) error {
	ctx = e.Context(ctx)
	err := e.client.LeasesService().AddResource(ctx, leases.Lease{ID: e.run.id}, snapshotResource(img.ChainID()))
	if err != nil {
		return fmt.Errorf("keeping the snapshot of %s: %w", img.Digest(), err)
	}
	return e.unpack(ctx, img)
}

// Pack gives up the snapshots that images have above those of another image:
// their blobs stay, and when one of them is used it is unpacked again. What
// another image or run has in common with them stays too.
func (e *Engine) Pack(ctx context.Context, above Image, images ...Image) error {
	ctx = e.Context(ctx)
	below := len(above.Config.RootFS.DiffIDs)
	for _, img := range images {
		ids := img.Config.RootFS.DiffIDs
		if len(ids) <= below {
			continue // its snapshot is the other's
		}
		// An empty label is none.
		unlabelled := content.Info{Digest: img.Manifest.Config.Digest, Labels: map[string]string{labelSnapshot: ""}}
		if _, err := e.Store().Update(ctx, unlabelled, "labels."+labelSnapshot); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("packing image %s: %w", img.Digest(), err)
		}
		for n := below + 1; n <= len(ids); n++ {
			err := e.client.LeasesService().DeleteResource(ctx, leases.Lease{ID: e.run.id}, snapshotResource(identity.ChainID(ids[:n])))
			if err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("packing image %s: %w", img.Digest(), err)
			}
		}
	}
	return nil
}

// Collect removes now what nothing keeps any more.
func (e *Engine) Collect(ctx context.Context) error {
	ctx = e.context(ctx)
	service := e.client.LeasesService()
	lease, err := service.Create(ctx, leases.WithRandomID())
	if err == nil {
		// Giving up a lease is how a client asks for a collection.
		err = service.Delete(ctx, lease, leases.SynchronousDelete)
	}
	if err != nil {
		return fmt.Errorf("collecting what nothing keeps: %w", err)
	}
	return nil
}
