package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/internal/near"
	"vauban/layers"
	"vauban/layers/diff"
	"vauban/pipeline"
	"vauban/pipeline/identities"
	"vauban/pipeline/provenance"
	"vauban/registry"
	"vauban/vault"
)

// explain says of an image that is not there what to do about it.
func (s *session) explain(err error) error {
	missing, ok := errors.AsType[*pipeline.MissingError](err)
	if !ok {
		return err
	}
	var known []string
	for _, b := range s.cfg.Bases {
		known = append(known, b.Image())
	}
	for _, m := range s.cfg.Masters() {
		known = append(known, m.Image())
	}
	switch words := near.Words(missing.Name, known); {
	case missing.Tag != registry.Latest:
		return fmt.Errorf("%w; vauban images lists what is here", missing)
	case slices.Contains(known, missing.Name):
		return fmt.Errorf("image %q has never been built: vauban build %s", missing.Name, missing.Name)
	case len(words) > 0:
		return fmt.Errorf("no image %q, %s", missing.Name, near.Question(words[:1]))
	}
	return fmt.Errorf("no image %q; vauban images lists them", missing.Name)
}

// tree is the root of the published tree.
func (s *session) tree() string { return s.settings.PublishedTree(s.stateDir) }

// master finds a master, which a base is not.
func (s *session) master(name string) (*config.Master, error) {
	_, master, err := s.cfg.Find(name)
	if err != nil {
		return nil, usage(err)
	}
	if master == nil {
		return nil, usage(fmt.Errorf("vauban: %q is a base: name one of its masters", name))
	}
	return master, nil
}

// kernelParameters are patterns of those that a master's releases may bring
// besides vauban's list.
func (s *session) kernelParameters(master string) []string {
	if _, m, err := s.cfg.Find(master); err == nil && m != nil {
		return s.cfg.KernelParameters(m)
	}
	return nil
}

// identitiesOf are those in the vault, for a file of a host, or of a master
// itself where host is empty. One that has an identity is not written without
// it, unless that is asked for.
func (s *session) identitiesOf(ctx context.Context, m *config.Master, host string, without bool) (*identities.Identities, error) {
	if without {
		return identities.None(), nil
	}
	store, err := s.vault()
	if err != nil {
		return nil, err
	}
	if store != nil {
		return identities.In(store), nil
	}
	if host == "" {
		host = m.OwnIdentity()
	}
	if host == "" {
		return identities.None(), nil
	}
	closed := identities.Closed(vault.NewLocal(s.cfg.VaultDir(), "").List)
	return closed, closed.Check(ctx, s.tree(), nil, m, []string{host})
}

// image is the one that a reference stands for, pulled when it is not here.
func (s *session) image(ctx context.Context, reference string) (layers.Image, error) {
	name, tag := s.reference(reference)
	if d, err := digest.Parse(tag); err == nil {
		return s.images.Digest(ctx, name, d)
	}
	return s.images.Tagged(ctx, name, tag)
}

// reference reads NAME, NAME:TAG or NAME@DIGEST as an image's name and its tag,
// latest when there is none, or digest. The name is that of an image, or of
// what has one: a base, by its key too, a master, or MASTER/HOST.
func (s *session) reference(reference string) (name, tag string) {
	name, tag = registry.SplitReference(reference)
	tag = cmp.Or(tag, registry.Latest)
	if base, _, err := s.cfg.Find(name); err == nil && base != nil {
		return base.Image(), tag
	}
	return config.ImageName(name), tag
}

// masterImage is the image that a master's release is made of, or the one
// with a tag.
func (s *session) masterImage(ctx context.Context, m *config.Master, tag string) (layers.Image, error) {
	return s.images.Master(ctx, s.tree(), m, tag)
}

// difference writes what a host's image changes in its master's.
// On top come layers that are in no image.
func (s *session) difference(ctx context.Context, master, host layers.Image, w io.Writer, top ...diff.Open) error {
	_, err := s.engine.Difference(ctx, master, host, w, diff.MergeOptions{Exclude: s.cfg.Configuration.ConffsExclude}, top...)
	if errors.Is(err, layers.ErrNotBelow) {
		made := provenance.MadeBy(host.Config.Config.Labels)
		err = fmt.Errorf("the host's image and the master's do not belong together: %w; build the host again (vauban build %s --stage conffs --limit %s), or name the master's image that it was built on with --on TAG",
			err, made.Master, made.Host)
	}
	return err
}
