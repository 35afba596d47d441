package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"

	"vauban/layers"
	"vauban/progress"
	"vauban/registry"
)

// maxSeconds is how many seconds a run goes on to find one for an image that
// no other run has taken.
const maxSeconds = 60

// keep gives an image its names here and in the registry: the run's timestamp
// and latest, which move last. An image that did not change keeps the timestamp
// that it has, and latest stays with a newer run.
func (r *Runner) keep(ctx context.Context, name string, img layers.Image, mountFrom ...string) error {
	tags, err := r.tags(ctx, name, img, mountFrom)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if err := r.Engine.SetImage(ctx, name+":"+tag, img); err != nil {
			return err
		}
	}
	r.remember(name, img)
	stamp := r.Tag
	if len(tags) > 0 {
		stamp = tags[0]
	}
	r.report(ctx, progress.Event{Type: progress.Image, Name: name + ":" + stamp, Digest: img.Digest().String()})
	return nil
}

// tags are those that name an image now, its timestamp first.
func (r *Runner) tags(ctx context.Context, name string, img layers.Image, mountFrom []string) ([]string, error) {
	if r.NoPush {
		return r.localTags(ctx, name, img)
	}
	tags, err := r.push(ctx, name, img, mountFrom)
	if err != nil {
		return nil, fmt.Errorf("pushing image %q: %w", name, err)
	}
	slices.SortStableFunc(tags, func(a, b string) int { return isLatest(a) - isLatest(b) })
	if !slices.Contains(tags, registry.Latest) {
		r.notice(ctx, "", "a newer run holds latest of %s: this image keeps its timestamp %s alone", name, tags[0])
	}
	return tags, nil
}

func isLatest(tag string) int {
	if tag == registry.Latest {
		return 1
	}
	return 0
}

// push takes the next second for an image where another run, on this machine
// or another, has given the run's own to another image. It takes no later one
// than it must: the latest of a run that began after this one stays.
func (r *Runner) push(ctx context.Context, name string, img layers.Image, mountFrom []string) ([]string, error) {
	for second := r.time; ; second = second.Add(time.Second) {
		pushed, err := r.Registry.Push(r.Engine.Context(ctx), name, img.Descriptor, r.Engine.Store(),
			registry.PushOptions{Tags: []string{registry.Timestamp(second), registry.Latest}, MountFrom: mountFrom, Inspect: r.pushing()})
		if errors.Is(err, registry.ErrTagMoved) && second.Before(r.time.Add(maxSeconds*time.Second)) {
			continue
		}
		r.Log.Debug("pushed", "image", name, "digest", img.Digest(), "blobs", pushed.Blobs, "bytes", pushed.Bytes, "tags", pushed.Tags)
		return pushed.Tags, err
	}
}

// localTags are by the same rules, of the names in containerd alone.
func (r *Runner) localTags(ctx context.Context, name string, img layers.Image) ([]string, error) {
	latest, err := r.Engine.Image(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
	case err != nil:
		return nil, err
	case latest.Digest() == img.Digest():
		return nil, nil
	case newer(latest, img):
		return []string{r.Tag}, nil
	}
	return []string{r.Tag, registry.Latest}, nil
}
