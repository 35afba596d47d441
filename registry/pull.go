package registry

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Resolve is what a tag or digest of an image names. For an image of several
// architectures that is the index. errdefs.ErrNotFound.
func (r *Registry) Resolve(ctx context.Context, image, tag string) (ocispec.Descriptor, error) {
	got, err := r.get(ctx, image, tag)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return manifestOf(got).desc, nil
}

// manifestOf is what was fetched, not taken apart.
func manifestOf(got *remote.Descriptor) manifest {
	return manifest{raw: got.Manifest, desc: ocispec.Descriptor{
		MediaType: string(got.MediaType),
		Digest:    digest.Digest(got.Digest.String()),
		Size:      got.Size,
	}}
}

// get fetches what a tag names. Its digest is checked against its content, so
// a GET is used even where a HEAD would do: manifests are small.
func (r *Registry) get(ctx context.Context, image, tag string) (*remote.Descriptor, error) {
	ref, err := r.reference(image, tag)
	if err != nil {
		return nil, err
	}
	var got *remote.Descriptor
	err = r.do(ctx, fmt.Sprintf("resolving %q", r.Reference(image, tag)), func(ctx context.Context) (err error) {
		got, err = r.puller.Get(ctx, ref)
		if err == nil && !isObject(got.Manifest) {
			err = errNotManifest
		}
		return err
	})
	if errdefs.IsNotFound(err) && r.embedded != nil && r.embedded.hasTag(ref.Context().RepositoryStr(), tag) {
		err = cmp.Or(r.damaged(ctx), err)
	}
	return got, err
}

func isObject(document []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(document, " \t\r\n"), []byte("{")) && json.Valid(document)
}

// fetchManifest fetches an image's manifest; of an image for several
// architectures the one of ours.
func (r *Registry) fetchManifest(ctx context.Context, image, tag string) (manifest, error) {
	name := r.Reference(image, tag)
	got, err := r.get(ctx, image, tag)
	for depth := 0; err == nil && got.MediaType.IsIndex(); depth++ {
		if depth > maxNested {
			return manifest{}, fmt.Errorf("resolving %q: indexes name indexes, more than %d deep: %w", name, maxNested, errdefs.ErrInvalidArgument)
		}
		child, chosen := r.choosePlatform(got.Manifest)
		if chosen != nil {
			return manifest{}, fmt.Errorf("resolving %q: %w", name, chosen)
		}
		got, err = r.get(ctx, image, child.String())
	}
	if err != nil {
		return manifest{}, err
	}
	m, err := parseManifest(manifestOf(got).desc, got.Manifest)
	if err == nil {
		err = m.checkBounds()
	}
	if err != nil {
		return manifest{}, fmt.Errorf("resolving %q: %w", name, err)
	}
	return m, nil
}

// Annotations are those of an image's manifest. Nothing else is fetched.
// errdefs.ErrNotFound.
func (r *Registry) Annotations(ctx context.Context, image, tag string) (map[string]string, error) {
	m, err := r.fetchManifest(ctx, image, tag)
	if err != nil {
		return nil, err
	}
	var fields ocispec.Manifest
	if err := json.Unmarshal(m.raw, &fields); err != nil {
		return nil, fmt.Errorf("reading the manifest of %q: %w", r.Reference(image, tag), err)
	}
	return fields.Annotations, nil
}

// PullResult is an image that was pulled.
type PullResult struct {
	// Descriptor is the manifest's.
	Descriptor ocispec.Descriptor
	// Content is all that the image needs, in the order of the manifest:
	// configuration, layers, and the manifest itself last. Labels that keep it
	// from containerd's garbage collection are the caller's.
	Content []ocispec.Descriptor
	// Fetched and Bytes count what was not in the store yet.
	Fetched int
	Bytes   int64
}

// Pull copies an image into a content store: what the store lacks, each blob
// checked against its digest, the manifest last. A download that breaks goes
// on where it stopped, in this call or in a later one. errdefs.ErrNotFound.
func (r *Registry) Pull(ctx context.Context, image, tag string, to content.Store) (PullResult, error) {
	ctx, done := r.limits.within(ctx)
	defer done()
	m, err := r.fetchManifest(ctx, image, tag)
	if err != nil {
		return PullResult{}, err
	}
	repo, err := r.repository(image)
	if err != nil {
		return PullResult{}, err
	}
	p := &pull{Registry: r, image: image, repo: repo, to: to}
	p.result.Descriptor = m.desc
	p.result.Content = append(distinct(m.blobs), m.desc)
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, blob := range distinct(m.blobs) {
		group.Go(func() error { return p.blob(ctx2, blob) })
	}
	if err := group.Wait(); err != nil {
		return p.result, err
	}
	m.desc.Data = m.raw
	return p.result, p.blob(ctx, m.desc)
}

// pull is one image on its way.
type pull struct {
	*Registry
	image string
	repo  name.Repository
	to    content.Store

	mu     sync.Mutex
	client *http.Client
	result PullResult
}

func (p *pull) blob(ctx context.Context, desc ocispec.Descriptor) error {
	if _, err := p.to.Info(ctx, desc.Digest); err == nil {
		return nil
	} else if !errdefs.IsNotFound(err) {
		return fmt.Errorf("looking for blob %s of %q: %w", desc.Digest, p.image, err)
	}
	doing := fmt.Sprintf("pulling blob %s of %q", desc.Digest, p.image)
	if err := p.do(ctx, doing, func(ctx context.Context) error { return p.fetch(ctx, desc) }); err != nil {
		if errdefs.IsNotFound(err) { // a manifest names it
			err = cmp.Or(p.damaged(ctx), err)
		}
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result.Fetched++
	p.result.Bytes += desc.Size
	return nil
}

// fetch writes one blob, going on with what an earlier try has written.
func (p *pull) fetch(ctx context.Context, desc ocispec.Descriptor) error {
	ingest := "vauban-" + desc.Digest.String()
	writer, err := content.OpenWriter(ctx, p.to, content.WithRef(ingest), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer writer.Close()
	source, err := p.open(ctx, desc)
	if err != nil {
		return err
	}
	defer source.Close()
	err = content.Copy(ctx, writer, source, desc.Size, desc.Digest)
	if errdefs.IsFailedPrecondition(err) || errors.Is(err, errBadContent) {
		// Wrong bytes: what is there cannot be continued.
		writer.Close()
		_ = p.to.Abort(context.WithoutCancel(ctx), ingest)
		return fmt.Errorf("%w: %w", errBadContent, err)
	}
	return err
}

// open reads a blob from its descriptor or from the registry.
func (p *pull) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if desc.Data != nil {
		return content.BlobReadSeeker(ctx, nil, desc)
	}
	client, err := p.authorized(ctx)
	if err != nil {
		return nil, err
	}
	return &blobReader{ctx: ctx, client: client, url: blobURL(p.repo, desc.Digest), size: desc.Size}, nil
}

// authorized is a client that is logged in for reading the repository: the
// library's own reader cannot start in the middle of a blob.
func (p *pull) authorized(ctx context.Context) (*http.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		return p.client, nil
	}
	auth, err := authn.Resolve(ctx, p.keychain, p.repo)
	if err != nil {
		return nil, err
	}
	scopes := []string{p.repo.Scope(transport.PullScope)}
	authorized, err := transport.NewWithContext(ctx, p.repo.Registry, auth, p.transport, scopes)
	if err != nil {
		return nil, err
	}
	p.client = &http.Client{Transport: authorized}
	return p.client, nil
}

func blobURL(repo name.Repository, blob digest.Digest) string {
	address := url.URL{
		Scheme: repo.Scheme(),
		Host:   repo.RegistryStr(),
		Path:   fmt.Sprintf("/v2/%s/blobs/%s", repo.RepositoryStr(), blob),
	}
	return address.String()
}
