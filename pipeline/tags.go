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
func (j *job) keep(ctx context.Context, name string, img layers.Image, mountFrom ...string) error {
	tags, err := j.tags(ctx, name, img, mountFrom)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if err := j.Engine.SetImage(ctx, name+":"+tag, img); err != nil {
			return err
		}
	}
	j.images.set(name, img)
	stamp := j.Tag
	if len(tags) > 0 {
		stamp = tags[0]
	}
	j.report(progress.Event{Type: progress.Image, Name: name + ":" + stamp, Digest: img.Digest().String()})
	return nil
}

// tags are those that name an image now, its timestamp first.
func (j *job) tags(ctx context.Context, name string, img layers.Image, mountFrom []string) ([]string, error) {
	if j.NoPush {
		return j.localTags(ctx, name, img)
	}
	tags, err := j.push(ctx, name, img, mountFrom)
	if err != nil {
		return nil, fmt.Errorf("pushing image %q: %w", name, err)
	}
	slices.SortStableFunc(tags, func(a, b string) int { return isLatest(a) - isLatest(b) })
	if !slices.Contains(tags, registry.Latest) {
		j.notice("", "a newer run holds latest of %s: this image keeps its timestamp %s alone", name, tags[0])
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
func (j *job) push(ctx context.Context, name string, img layers.Image, mountFrom []string) ([]string, error) {
	for second := j.time; ; second = second.Add(time.Second) {
		pushed, err := j.Registry.Push(j.Engine.Context(ctx), name, img.Descriptor, j.Engine.Store(),
			registry.PushOptions{Tags: []string{registry.Timestamp(second), registry.Latest}, MountFrom: mountFrom, Inspect: j.gate.InspectBlob})
		if errors.Is(err, registry.ErrTagMoved) && second.Before(j.time.Add(maxSeconds*time.Second)) {
			continue
		}
		j.Log.Debug("pushed", "image", name, "digest", img.Digest(), "blobs", pushed.Blobs, "bytes", pushed.Bytes, "tags", pushed.Tags)
		return pushed.Tags, err
	}
}

// localTags are by the same rules, of the names in containerd alone.
func (j *job) localTags(ctx context.Context, name string, img layers.Image) ([]string, error) {
	latest, err := j.Engine.Image(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
	case err != nil:
		return nil, err
	case latest.Digest() == img.Digest():
		return nil, nil
	case newer(latest, img):
		return []string{j.Tag}, nil
	}
	return []string{j.Tag, registry.Latest}, nil
}
