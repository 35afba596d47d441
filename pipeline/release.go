package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"vauban/config"
	"vauban/export"
	"vauban/progress"
)

// makeRelease publishes what the run made of a master, together with what the
// release before has of the rest.
func (r *Runner) makeRelease(ctx context.Context, m *config.Master) (string, error) {
	if r.NoPublish {
		return "not published, as told", nil
	}
	// One that cannot be read is Publish's to judge: a release of which all
	// was built takes its place.
	current, err := export.Current(r.uploadDir(), m.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if note, err := r.completeFirst(ctx, m); err != nil || note != "" {
			return note, err
		}
	}
	p := r.partsOf(m)
	if p.rootfs == "" && p.image != nil && current != nil && current.Rootfs.Image != p.image.Digest() {
		// Conffs of an image that was built before and not published yet:
		// its rootfs goes with them.
		if _, err := r.makeSquashfs(ctx, m); err != nil {
			return "", err
		}
	}
	published, err := export.Publish(ctx, r.uploadDir(), r.release(m, p),
		export.TreeOptions{Owner: r.Settings.UploadOwner, Log: r.Log})
	switch {
	case errors.Is(err, export.ErrOvertaken), errors.Is(err, export.ErrLeaving):
		r.notice(ctx, "", "%v", err)
		return fmt.Sprintf("built, but not published: %v", err), nil
	case errors.Is(err, export.ErrMixed) && len(p.hosts) == 0:
		return fmt.Sprintf("built, but not published: %v; or cut the conffs on it with --stage conffs --on latest", err), nil
	case err != nil:
		return "", err
	}
	if err := r.recordRelease(ctx, m, published); err != nil {
		return "", err
	}
	return r.published(ctx, m, published)
}

// completeFirst builds what the first release of a master takes besides what
// was asked for. A note says why there cannot be one yet.
func (r *Runner) completeFirst(ctx context.Context, m *config.Master) (note string, err error) {
	p := r.partsOf(m)
	if p.kernel == nil {
		if _, err := r.makeKernel(ctx, m); err != nil {
			return "", err
		}
	}
	if m.Conffs != "" && p.allHosts == nil {
		note := fmt.Sprintf("the image is built and not published yet: its first release needs the conffs of its hosts (vauban build %s --stage conffs)", m.Name)
		r.notice(ctx, "", "%s", note)
		return note, nil
	}
	if p.rootfs == "" {
		_, err = r.makeSquashfs(ctx, m)
	}
	return "", err
}

// published reports a release, and which hosts it lacks or will lack.
func (r *Runner) published(ctx context.Context, m *config.Master, p *export.Published) (string, error) {
	for _, notice := range hostNotices(p) {
		r.notice(ctx, "", "%s", notice)
	}
	if p.Candidate {
		pin, err := export.Pinned(r.uploadDir(), m.Name)
		if err != nil {
			return "", err
		}
		since := ""
		if pin != nil {
			since = " to " + pin.Release
		}
		note := fmt.Sprintf("%s is a candidate: %s was rolled back%s; vauban deploy %s serves the candidate", p.Timestamp, m.Name, since, m.Name)
		r.notice(ctx, "", "%s", note)
		return note, nil
	}
	if p.Unchanged {
		return "unchanged since " + p.Timestamp, nil
	}
	r.report(ctx, progress.Event{Type: progress.Released, Tag: p.Timestamp, Path: p.Dir})
	return p.Dir, nil
}

// hostNotices are about hosts that a release lacks, or will lack.
func hostNotices(p *export.Published) (notices []string) {
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

// release is what the run made of a master.
func (r *Runner) release(m *config.Master, p *parts) export.Release {
	release := export.Release{Master: m.Name, Timestamp: r.Tag, Seen: r.seen[m], Tool: "vauban " + r.Version,
		Hosts: p.allHosts, Some: r.Limit != "", RemoveHosts: r.RemoveHosts, Conffs: map[string]export.BuiltConffs{}}
	if p.rootfs != "" {
		release.Rootfs = &export.BuiltRootfs{Path: p.rootfs, Image: p.image.Digest(), Kernels: p.report.Kernels, Parameters: p.report.Parameters, Packing: p.packing}
		_, release.Rootfs.Identity = r.identities.get(m.OwnIdentity())
	}
	if p.kernel != nil {
		release.Kernel = &export.BuiltKernel{Version: p.kernel.version, Vmlinuz: p.kernel.vmlinuz, Initramfs: p.kernel.initramfs}
	}
	for _, h := range p.hosts {
		if h.err == nil {
			_, fromVault := r.identities.get(h.name)
			release.Conffs[h.name] = export.BuiltConffs{Path: h.file, Image: h.image, Master: p.image.Digest(), Identity: fromVault}
		} else {
			release.Failed = append(release.Failed, h.name)
		}
	}
	return release
}
