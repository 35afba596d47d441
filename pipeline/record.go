package pipeline

import (
	"context"

	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/config"
	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
	"vauban/pipeline/recipes"
	"vauban/release"
)

// recording reports whether the run is one of a configuration: what is made of
// images that were given says nothing of it.
func (r *Runner) recording() bool { return len(r.Given) == 0 }

// recordImage notes what a base or a master was made from, once its image has
// its tags.
func (r *Runner) recordImage(ctx context.Context, name string, made freshness.Record) error {
	if !r.recording() {
		return nil
	}
	return r.records.Update(ctx, name, !r.NoPush, func(record *freshness.Record) {
		if record.Made.After(r.time) {
			return // of a newer run, which has latest
		}
		record.Image, record.Parent, record.From = made.Image, made.Parent, made.From
		record.Made, record.Tool = r.time, "vauban "+r.Version
		record.Inputs, record.Stages = made.Inputs, made.Stages
	})
}

// recordHosts notes what those hosts of a master were made from that are
// whole.
func (r *Runner) recordHosts(ctx context.Context, m *config.Master, conffs Conffs) error {
	if !r.recording() {
		return nil
	}
	made := map[string]digest.Digest{}
	for _, h := range conffs.Hosts {
		if h.Failed == "" {
			made[h.Name] = h.Image
		}
	}
	run := freshness.HostRun{Master: conffs.Image.Digest, Made: r.time, Inputs: freshness.HostInputs(r.Config, m, r.Identities.InVault()), Stages: conffs.Stages}
	return r.records.Update(ctx, m.Image(), !r.NoPush, func(record *freshness.Record) { record.SetHosts(run, made, conffs.All) })
}

// record notes what was published of the master. What the run did not make of it
// is as the record before says.
func (t *releaseTask) record(ctx context.Context, published *release.Published) error {
	if !t.recording() {
		return nil
	}
	release := freshness.ReleaseRecord{Timestamp: published.Timestamp, Image: published.Rootfs.Image, Kernel: published.Kernel.Version}
	hosts := map[string]freshness.HostRecord{}
	for name, conffs := range published.Hosts {
		hosts[name] = freshness.HostRecord{Image: conffs.Image}
	}
	release.Hosts = freshness.HostsDigest(hosts)
	var rootfs, kernel ansible.Inputs
	var err error
	if t.plan.Find(plan.MakeSquashfs, t.master) != nil || t.packed() {
		if rootfs, err = freshness.RootfsInputs(t.Config, t.master, t.Identities.InVault()); err != nil {
			return err
		}
	}
	if t.plan.Find(plan.MakeKernel, t.master) != nil || t.kernel != nil {
		key, err := recipes.InitramfsKey(ctx, t.Config, t.master, release.Kernel, t.withheld)
		if err != nil {
			return err
		}
		kernel = freshness.KernelInputs(t.master, key)
	}
	return t.records.Update(ctx, t.master.Image(), !t.NoPush, func(record *freshness.Record) { record.SetRelease(release, rootfs, kernel) })
}
