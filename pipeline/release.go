package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"vauban/config"
	"vauban/progress"
	"vauban/release"
)

// releaseTask publishes what the run made of a master. Parts that it did not
// make are nil.
type releaseTask struct {
	*job
	master   *config.Master
	squashfs *Squashfs
	kernel   *Kernel
	conffs   *Conffs
}

// make publishes the parts, together with those that the release before has of
// the rest.
func (t *releaseTask) make(ctx context.Context) (Release, string, error) {
	if t.NoPublish {
		return Release{}, "not published (--no-publish)", nil
	}
	// One that cannot be read is Publish's to judge: a release of which all
	// was built takes its place.
	current, err := release.Current(t.uploadDir(), t.master.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if note, err := t.completeFirst(ctx); err != nil || note != "" {
			return Release{}, note, err
		}
	}
	if image := t.image(); !t.packed() && image != nil && current != nil && current.Rootfs.Image != image.Digest {
		// Conffs of an image that was built before and not published yet:
		// its rootfs goes with them.
		if err := t.pack(ctx); err != nil {
			return Release{}, "", err
		}
	}
	published, err := release.Publish(ctx, t.uploadDir(), t.release(),
		release.TreeOptions{Owner: t.Settings.UploadOwner, Log: t.Log})
	switch {
	case errors.Is(err, release.ErrOvertaken), errors.Is(err, release.ErrLeaving):
		t.notice("", "%v", err)
		return Release{}, fmt.Sprintf("built, but not published: %v", err), nil
	case errors.Is(err, release.ErrMixed) && (t.conffs == nil || len(t.conffs.Hosts) == 0):
		return Release{}, fmt.Sprintf("built, but not published: %v; or cut the conffs on it with --stage conffs --on latest", err), nil
	case err != nil:
		return Release{}, "", err
	}
	if err := t.record(ctx, published); err != nil {
		return Release{}, "", err
	}
	note, err := t.published(published)
	return Release{Master: t.master.Name, Timestamp: published.Timestamp, Dir: published.Dir, Image: published.Rootfs.Image, Candidate: published.Candidate}, note, err
}

// image is the one that squashfs and conffs were made of. Nil: neither was made.
func (t *releaseTask) image() *Image {
	switch {
	case t.conffs != nil:
		return &t.conffs.Image
	case t.squashfs != nil && t.squashfs.Image.Digest != "":
		return &t.squashfs.Image
	}
	return nil
}

func (t *releaseTask) packed() bool { return t.squashfs != nil && t.squashfs.Path != "" }

// pack packs the root filesystem that no other task did.
func (t *releaseTask) pack(ctx context.Context) error {
	img, err := t.masterImage(ctx, t.master, t.image())
	if err != nil {
		return err
	}
	squashfs, _, err := (&squashfsTask{t.job, t.master}).pack(ctx, img)
	t.squashfs = &squashfs
	return err
}

// completeFirst builds what the first release of a master takes besides what
// was asked for. A note says why there cannot be one yet.
func (t *releaseTask) completeFirst(ctx context.Context) (note string, err error) {
	if t.kernel == nil {
		kernel, _, err := t.makeKernel(ctx, t.master, t.image())
		if err != nil {
			return "", err
		}
		t.kernel = &kernel
	}
	if t.master.Conffs != "" && t.conffs == nil {
		note := fmt.Sprintf("the image is built and not published yet: its first release needs the conffs of its hosts (vauban build %s --stage conffs)", t.master.Name)
		t.notice("", "%s", note)
		return note, nil
	}
	if !t.packed() {
		return "", t.pack(ctx)
	}
	return "", nil
}

// published reports a release, and which hosts it lacks or will lack.
func (t *releaseTask) published(p *release.Published) (string, error) {
	for _, notice := range hostNotices(p) {
		t.notice("", "%s", notice)
	}
	if p.Candidate {
		pin, err := release.Pinned(t.uploadDir(), t.master.Name)
		if err != nil {
			return "", err
		}
		since := ""
		if pin != nil {
			since = " to " + pin.Release
		}
		note := fmt.Sprintf("%s is a candidate: %s was rolled back%s; vauban deploy %s serves the candidate", p.Timestamp, t.master.Name, since, t.master.Name)
		t.notice("", "%s", note)
		return note, nil
	}
	if p.Unchanged {
		return "unchanged since " + p.Timestamp, nil
	}
	t.report(progress.Event{Type: progress.Released, Tag: p.Timestamp, Path: p.Dir})
	return p.Dir, nil
}

// release is what there is to publish.
func (t *releaseTask) release() release.Release {
	made := release.Release{Master: t.master.Name, Timestamp: t.Tag, Seen: t.seen[t.master], Tool: "vauban " + t.Version,
		Some: t.Limit != "", RemoveHosts: t.RemoveHosts, Conffs: map[string]release.BuiltConffs{}}
	if s := t.squashfs; t.packed() {
		made.Rootfs = &release.BuiltRootfs{Path: s.Path, Image: s.Image.Digest, Kernels: s.Kernels, Parameters: s.Parameters, Packing: s.Packing, Identity: s.Identity}
	}
	if k := t.kernel; k != nil {
		made.Kernel = &release.BuiltKernel{Version: k.Version, Vmlinuz: k.Vmlinuz, Initramfs: k.Initramfs}
	}
	if t.conffs == nil {
		return made
	}
	made.Hosts = t.conffs.All
	for _, h := range t.conffs.Hosts {
		if h.Failed != "" {
			made.Failed = append(made.Failed, h.Name)
			continue
		}
		made.Conffs[h.Name] = release.BuiltConffs{Path: h.Path, Image: h.Image, Master: t.conffs.Image.Digest, Identity: h.Identity}
	}
	return made
}

// hostNotices are about hosts that a release lacks, or will lack.
func hostNotices(p *release.Published) (notices []string) {
	if len(p.Removed) > 0 {
		notices = append(notices, fmt.Sprintf("no longer in the release, as the inventory or `conffs:` no longer has them: %s", strings.Join(p.Removed, ", ")))
	}
	if len(p.Leaving) > 0 {
		notices = append(notices, fmt.Sprintf("the inventory or `conffs:` no longer has %s: the release keeps their conffs, "+
			"the next run that builds the conffs of all hosts removes them (--remove-hosts does so now)", strings.Join(p.Leaving, ", ")))
	}
	if len(p.Missing) > 0 {
		notices = append(notices, fmt.Sprintf("the release has no conffs of %s: build them with --stage conffs", strings.Join(p.Missing, ", ")))
	}
	return notices
}
