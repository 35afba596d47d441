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
	"vauban/release"
)

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
		if current, err := release.Current(r.uploadDir(), t.Master.Name); err == nil {
			seen[t.Master] = current.Timestamp
		}
	}
	return seen
}

// squashfsTask packs the root filesystem of a master.
type squashfsTask struct {
	*job
	master *config.Master
}

// makeSquashfs packs the given image of a master's rootfs, or when the plan does
// not make that the one that stands for it.
func (j *job) makeSquashfs(ctx context.Context, m *config.Master, rootfs *Image) (Squashfs, string, error) {
	t := &squashfsTask{j, m}
	if t.awaitsHosts() {
		made := Squashfs{}
		if rootfs != nil {
			made.Image = *rootfs
		}
		return made, "to be packed for its first release, with the conffs of its hosts", nil
	}
	img, err := j.masterImage(ctx, m, rootfs)
	if err != nil {
		return Squashfs{}, "", err
	}
	return t.pack(ctx, img)
}

// pack packs an image of the master, unless the release that is served has it.
func (t *squashfsTask) pack(ctx context.Context, img layers.Image) (Squashfs, string, error) {
	options, err := t.options(ctx)
	if err != nil {
		return Squashfs{}, "", err
	}
	made := Squashfs{Image: Image{Name: t.master.Image(), Digest: img.Digest()}, Packing: options.Digest()}
	if current, err := release.Current(t.uploadDir(), t.master.Name); err == nil && current.Rootfs.Image == img.Digest() &&
		current.Rootfs.Packing == made.Packing && current.VerifyRootfs() == nil {
		// The same image, packed the same way: the release's file stays.
		return made, "unchanged since " + current.Timestamp, nil
	}
	dir := filepath.Join(t.work, t.master.Image())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Squashfs{}, "", err
	}
	if err := t.gate.InspectImage(ctx, img); err != nil {
		return Squashfs{}, "", fmt.Errorf("exporting %q: %w", t.master.Name, err)
	}
	report, err := export.Rootfs(ctx, filepath.Join(dir, "rootfs.squashfs"), t.mounted(img), options)
	if err != nil {
		return Squashfs{}, "", fmt.Errorf("exporting %q: %w", t.master.Name, err)
	}
	t.reportOf(report)
	made.Path, made.Kernels, made.Parameters = report.Path, report.Kernels, report.Parameters
	_, made.Identity = t.Identities.Get(t.master.OwnIdentity())
	return made, fmt.Sprintf("%d MiB", report.Size>>20), nil
}

// options are those that the master is packed with, with the identity that it
// ships.
func (t *squashfsTask) options(ctx context.Context) (export.RootfsOptions, error) {
	options, err := freshness.PackingOptions(t.Config, t.master, t.Log)
	if err != nil {
		return options, err
	}
	if name := t.master.OwnIdentity(); name != "" {
		if err := t.Identities.Ensure(ctx, nil, []string{name}); err != nil {
			return options, err
		}
	}
	options.Files = t.Identities.RootfsFiles(t.master)
	return options, nil
}

// reportOf says what packing left out.
func (t *squashfsTask) reportOf(report export.RootfsReport) {
	if len(report.LeftOut) > 0 {
		t.say("left out %s", strings.Join(report.LeftOut, " "))
	}
	if len(report.Parameters) > 0 {
		t.say("its boot entries have the kernel parameters %s", strings.Join(report.Parameters, " "))
	}
	for _, err := range report.Refused {
		t.notice("", "left out of boot entries: %v", err)
	}
	for _, path := range report.ACLs {
		t.notice("", "the squashfs cannot keep the ACL of %s", path)
	}
}

// awaitsHosts says whether the master's first release needs hosts that are not
// built in this run. What is packed of it now would not be published.
func (t *squashfsTask) awaitsHosts() bool {
	if t.NoPublish || t.master.Conffs == "" || t.plan.Find(plan.MakeConffs, t.master) != nil {
		return false
	}
	_, err := release.Current(t.uploadDir(), t.master.Name)
	return errors.Is(err, fs.ErrNotExist)
}

func (j *job) mounted(img layers.Image) func(context.Context, func(string) error) error {
	return func(ctx context.Context, fn func(root string) error) error { return j.Engine.Mount(ctx, img, fn) }
}
