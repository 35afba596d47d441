package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Latest is the tag of the newest image under a name.
const Latest = "latest"

// SplitReference splits NAME, NAME:TAG or NAME@DIGEST into the name and the tag or
// digest, which is empty when there is neither. A port in the name is not a tag.
func SplitReference(reference string) (name, tag string) {
	if name, digest, ok := strings.Cut(reference, "@"); ok {
		return name, digest
	}
	if colon := strings.LastIndexByte(reference, ':'); colon > strings.LastIndexByte(reference, '/') {
		return reference[:colon], reference[colon+1:]
	}
	return reference, ""
}

// timestampLayout is ISO 8601 in UTC without the colons, which no tag may
// hold. Its text order is the order in time.
const timestampLayout = "2006-01-02T150405Z"

// clockSkew is how far another machine's clock may be ahead of this one's.
const clockSkew = 10 * time.Minute

// Timestamp is the tag for a moment, to the second.
func Timestamp(t time.Time) string { return t.UTC().Format(timestampLayout) }

// ParseTimestamp is the moment of a timestamp tag, and false for another tag.
func ParseTimestamp(tag string) (time.Time, bool) {
	t, err := time.Parse(timestampLayout, tag)
	return t, err == nil && Timestamp(t) == tag
}

// newestTimestamp is the last timestamp among tags, "" without any.
func newestTimestamp(tags []string) string {
	newest := ""
	for _, tag := range tags {
		if _, ok := ParseTimestamp(tag); ok && tag > newest {
			newest = tag
		}
	}
	return newest
}

// FreeTimestamp is the first timestamp tag from t on that none of the images
// carries. It also comes after those that a machine whose clock is up to ten
// minutes ahead has set, so that "latest" moves to what is tagged with it.
//
// It reserves nothing: another run may take the tag first, and Push then
// returns ErrTagMoved.
func (r *Registry) FreeTimestamp(ctx context.Context, t time.Time, images ...string) (string, error) {
	free, limit := Timestamp(t), Timestamp(t.Add(clockSkew))
	for _, image := range images {
		tags, err := r.Tags(ctx, image)
		if err != nil {
			return "", err
		}
		for _, tag := range tags {
			if taken, ok := ParseTimestamp(tag); ok && tag >= free && tag <= limit {
				free = Timestamp(taken.Add(time.Second))
			}
		}
	}
	return free, nil
}

// Images lists the names in the registry that may have tags, in text order.
func (r *Registry) Images(ctx context.Context) ([]string, error) {
	var names []string
	err := r.do(ctx, "listing the images", func(ctx context.Context) error {
		names = nil
		list := r.limits.list()
		pages, err := r.puller.Catalogger(ctx, r.host)
		if err != nil {
			return err
		}
		for pages.HasNext() {
			page, err := pages.Next(ctx)
			if err != nil {
				return err
			}
			if err := list.add(page.Next, len(page.Repos)); err != nil {
				return err
			}
			for _, name := range page.Repos {
				name, ok := strings.CutPrefix(name, prefix(r.project))
				if _, err := r.repository(name); ok && err == nil {
					names = append(names, name)
				}
			}
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func prefix(project string) string {
	if project == "" {
		return ""
	}
	return project + "/"
}

// Tags lists the tags of an image in text order, none for an image that is
// not there.
func (r *Registry) Tags(ctx context.Context, image string) ([]string, error) {
	repo, err := r.repository(image)
	if err != nil {
		return nil, err
	}
	var tags []string
	err = r.do(ctx, fmt.Sprintf("listing the tags of %q", image), func(ctx context.Context) error {
		tags = nil
		list := r.limits.list()
		pages, err := r.puller.Lister(ctx, repo)
		if err != nil {
			return err
		}
		for pages.HasNext() {
			page, err := pages.Next(ctx)
			if err != nil {
				return err
			}
			if err := list.add(page.Next, len(page.Tags)); err != nil {
				return err
			}
			if err := checkTagNames(page.Tags); err != nil {
				return err
			}
			tags = append(tags, page.Tags...)
		}
		return nil
	})
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	slices.Sort(tags)
	return tags, nil
}

// checkTagNames refuses what no registry can have as a tag.
func checkTagNames(tags []string) error {
	for _, tag := range tags {
		if _, err := reference.WithTag(anyName{}, tag); err != nil {
			return fmt.Errorf("%w: %.60q is listed as a tag", errBound, tag)
		}
	}
	return nil
}

// Tag lets a tag name an image that is in the registry already, by the rules
// of Push.
func (r *Registry) Tag(ctx context.Context, image string, desc ocispec.Descriptor, tag string) error {
	got, err := r.get(ctx, image, desc.Digest.String())
	if err != nil {
		return err
	}
	_, err = r.setTags(ctx, image, manifestOf(got), []string{tag})
	return err
}

// Delete takes a tag away. The content stays until the registry collects its
// garbage: for the embedded one that is Sweep. errdefs.ErrNotFound.
func (r *Registry) Delete(ctx context.Context, image, tag string) error {
	if isDigest(tag) {
		// It would take every tag of the image along.
		return fmt.Errorf("deleting %q of image %q: only tags are deleted", tag, image)
	}
	ref, err := r.reference(image, tag)
	if err != nil {
		return err
	}
	return r.do(ctx, fmt.Sprintf("deleting tag %q of %q", tag, image), func(ctx context.Context) error {
		return r.pusher.Delete(ctx, ref)
	})
}

// checkTags puts tags in the order in which they are set: first the
// timestamps, then the others, "latest" last.
func checkTags(tags []string) ([]string, error) {
	rank := func(tag string) int {
		if _, ok := ParseTimestamp(tag); ok {
			return 0
		}
		if tag == Latest {
			return 2
		}
		return 1
	}
	for _, tag := range tags {
		if isDigest(tag) {
			return nil, fmt.Errorf("tag %q is a digest", tag)
		}
	}
	ordered := slices.Clone(tags)
	slices.SortStableFunc(ordered, func(a, b string) int { return rank(a) - rank(b) })
	return slices.Compact(ordered), nil
}

// setTags lets the tags name a manifest that is in the registry, and returns
// those that now do: all but a "latest" that a newer timestamp holds.
func (r *Registry) setTags(ctx context.Context, image string, m manifest, tags []string) ([]string, error) {
	tags, err := checkTags(tags)
	if err != nil {
		return nil, fmt.Errorf("tagging %q: %w", image, err)
	}
	if len(tags) == 0 {
		return nil, nil
	}
	unlock, err := r.lockTags(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var set []string
	for _, tag := range tags {
		ref, err := r.reference(image, tag)
		if err != nil {
			return set, err
		}
		named := true
		if _, ok := ParseTimestamp(tag); ok {
			err = r.setOnce(ctx, image, ref, m)
		} else if tag == Latest {
			named, err = r.moveLatest(ctx, image, ref, m)
		} else {
			err = r.putManifest(ctx, image, ref, m)
		}
		if err != nil {
			return set, err
		}
		if named {
			set = append(set, tag)
		}
	}
	return set, nil
}

// setOnce sets a timestamp tag unless it names something else. It looks again
// afterwards, as the protocol has no conditional write.
func (r *Registry) setOnce(ctx context.Context, image string, ref name.Reference, m manifest) error {
	there, err := r.Resolve(ctx, image, ref.Identifier())
	if errdefs.IsNotFound(err) {
		if err := r.putManifest(ctx, image, ref, m); err != nil {
			return err
		}
		there, err = r.Resolve(ctx, image, ref.Identifier())
	}
	if err != nil {
		return err
	}
	if there.Digest != m.desc.Digest {
		return fmt.Errorf("tagging %q: %q names %s already: %w", image, ref.Identifier(), there.Digest, ErrTagMoved)
	}
	return nil
}

// maxLatestMoves bounds how often moveLatest follows other writers.
const maxLatestMoves = 10

// moveLatest lets "latest" name what the newest timestamp names, and says
// whether that is m. Without any timestamp it is m.
//
// The list is read again after each write: of two machines that move the tag
// at once, the one that writes last sees the timestamp of the other, which was
// set before the other came here, and goes on to it.
func (r *Registry) moveLatest(ctx context.Context, image string, latest name.Reference, m manifest) (bool, error) {
	for range maxLatestMoves {
		stamp, newest, err := r.newest(ctx, image)
		if err != nil {
			return false, err
		}
		if stamp == "" {
			newest = m
		}
		current, err := r.Resolve(ctx, image, Latest)
		if err != nil && !errdefs.IsNotFound(err) {
			return false, err
		}
		if current.Digest == newest.desc.Digest {
			return current.Digest == m.desc.Digest, nil
		}
		if err := r.putManifest(ctx, image, latest, newest); err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("moving %q of %q: others keep moving it; try again", Latest, image)
}

// newest is the newest timestamp of an image and what it names, "" without any.
// A timestamp may be listed and name nothing: deleted at this moment, or set by
// a run that was killed.
func (r *Registry) newest(ctx context.Context, image string) (string, manifest, error) {
	tags, err := r.Tags(ctx, image)
	if err != nil {
		return "", manifest{}, err
	}
	for stamp := newestTimestamp(tags); stamp != ""; stamp = newestTimestamp(tags) {
		got, err := r.get(ctx, image, stamp)
		if err == nil {
			return stamp, manifestOf(got), nil
		}
		if !errdefs.IsNotFound(err) {
			return "", manifest{}, err
		}
		tags = slices.DeleteFunc(tags, func(tag string) bool { return tag == stamp })
	}
	return "", manifest{}, nil
}
