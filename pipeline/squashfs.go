package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vauban/config"
	"vauban/export"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
	"vauban/registry"
)

// masterImage is the image that this run's rootfs, conffs and kernel of a
// master are made of: the one it built, the one that --on names, else the one
// that the current release names, else latest.
func (r *Runner) masterImage(ctx context.Context, m *config.Master) (layers.Image, error) {
	if img, ok := r.remembered(m.Image()); ok {
		return img, nil
	}
	if r.judge != nil && r.plan.Find(plan.MakeRootfs, m) != nil {
		return r.image(ctx, m.Image(), registry.Latest) // it was fresh
	}
	img, err := r.found(ctx).Master(ctx, r.uploadDir(), m, r.On)
	return img, hinted(err)
}

// uploadDir is the root of the published tree.
func (r *Runner) uploadDir() string {
	return r.Settings.PublishedTree(r.StateDir)
}

// served are the releases of the plan's masters that are served now.
func (r *Runner) served() map[*config.Master]string {
	seen := map[*config.Master]string{}
	for _, t := range r.plan.Tasks {
		if t.Kind != plan.MakeRelease {
			continue
		}
		// One that cannot be read is Publish's to judge.
		if current, err := export.Current(r.uploadDir(), t.Master.Name); err == nil {
			seen[t.Master] = current.Timestamp
		}
	}
	return seen
}

// makeSquashfs exports a master's root filesystem.
func (r *Runner) makeSquashfs(ctx context.Context, m *config.Master) (string, error) {
	if r.awaitsHosts(m) {
		return "to be packed for its first release, with the conffs of its hosts", nil
	}
	img, err := r.masterImage(ctx, m)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(r.work, m.Image())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	options, err := freshness.PackingOptions(r.Config, m, r.Log)
	if err != nil {
		return "", err
	}
	if name := m.OwnIdentity(); name != "" {
		if err := r.identities.ensure(ctx, nil, []string{name}); err != nil {
			return "", err
		}
	}
	options.Files = r.identities.RootfsFiles(m)
	packing := options.Digest()
	if current, err := export.Current(r.uploadDir(), m.Name); err == nil && current.Rootfs.Image == img.Digest() &&
		current.Rootfs.Packing == packing && current.VerifyRootfs() == nil {
		// The same image, packed the same way: the release's file stays.
		r.partsOf(m).setImage(img)
		return "unchanged since " + current.Timestamp, nil
	}
	if err := r.inspectImage(ctx, img); err != nil {
		return "", fmt.Errorf("exporting %q: %w", m.Name, err)
	}
	report, err := export.Rootfs(ctx, filepath.Join(dir, "rootfs.squashfs"), r.mounted(img), options)
	if err != nil {
		return "", fmt.Errorf("exporting %q: %w", m.Name, err)
	}
	if len(report.LeftOut) > 0 {
		r.say(ctx, "left out %s", strings.Join(report.LeftOut, " "))
	}
	if len(report.Parameters) > 0 {
		r.say(ctx, "its boot entries have the kernel parameters %s", strings.Join(report.Parameters, " "))
	}
	for _, err := range report.Refused {
		r.notice(ctx, "", "left out of boot entries: %v", err)
	}
	for _, path := range report.ACLs {
		r.notice(ctx, "", "the squashfs cannot keep the ACL of %s", path)
	}
	r.partsOf(m).update(func(p *parts) { p.image, p.rootfs, p.report, p.packing = &img, report.Path, report, packing })
	return fmt.Sprintf("%d MiB", report.Size>>20), nil
}

// awaitsHosts tells whether a master's first release needs hosts that are not
// built in this run. What is packed of it now would not be published.
func (r *Runner) awaitsHosts(m *config.Master) bool {
	if r.NoPublish || m.Conffs == "" || r.plan.Find(plan.MakeConffs, m) != nil {
		return false
	}
	_, err := export.Current(r.uploadDir(), m.Name)
	return errors.Is(err, fs.ErrNotExist)
}

func (r *Runner) mounted(img layers.Image) func(context.Context, func(string) error) error {
	return func(ctx context.Context, fn func(root string) error) error { return r.Engine.Mount(ctx, img, fn) }
}
