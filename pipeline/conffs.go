package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"vauban/ansible"
	"vauban/config"
	"vauban/export"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/provenance"
	"vauban/progress"
)

// makeConffs applies the stages of a master's ancestry as each of its hosts
// and keeps what that changes.
func (r *Runner) makeConffs(ctx context.Context, m *config.Master) (string, error) {
	img, err := r.masterImage(ctx, m)
	if err != nil {
		return "", err
	}
	all := r.selected[m].All
	names, err := r.stale(ctx, m, r.selected[m].Wanted)
	if err != nil {
		return "", err
	}
	r.claim(ctx, m, names)
	p := r.partsOf(m)
	p.setImage(img)
	p.update(func(p *parts) { p.allHosts = all })
	r.report(ctx, progress.Event{Type: progress.Hosts, Total: len(names)})
	failed := 0
	run, size := names, r.Batch
	if m.AnsibleRun == ansible.Together {
		run, size = all, len(all) // its plays look at all of them
	}
	if len(names) == 0 {
		run = nil // the inventory has fewer hosts than before
	}
	for batch := range slices.Chunk(run, max(size, 1)) {
		hosts, err := r.buildHosts(ctx, m, img, batch, names)
		if err != nil {
			return "", err
		}
		for _, h := range hosts {
			if h.err != nil {
				failed++
			}
		}
		p.update(func(p *parts) { p.hosts = append(p.hosts, hosts...) })
	}
	if err := r.recordHosts(ctx, m, img.Digest()); err != nil {
		return "", err
	}
	note := fmt.Sprintf("%d hosts", len(names))
	if failed == 0 {
		return note, nil
	}
	r.hostsFailed.Store(true)
	err = fmt.Errorf("%d of %d hosts failed", failed, len(names))
	if r.KeepGoing {
		return err.Error(), nil
	}
	return "", err
}

// claim reports hosts that another master of this run has too, which is
// allowed: such a machine boots what its entry names.
func (r *Runner) claim(ctx context.Context, m *config.Master, hosts []string) {
	for _, host := range hosts {
		r.mu.Lock()
		other, taken := r.claimed[host]
		if !taken {
			r.claimed[host] = m.Name
		}
		r.mu.Unlock()
		if taken {
			r.notice(ctx, host, "master %q has conffs for it too", other)
		}
	}
}

// selectHosts finds a master's hosts before anything is built.
func (r *Runner) selectHosts(ctx context.Context, m *config.Master) error {
	all, err := r.hosts(ctx, m, m.Conffs)
	if err != nil {
		return err
	}
	if err := r.Config.CheckHosts(m, all); err != nil {
		return err
	}
	selected, err := freshness.Limited(ctx, r.hosts, m, all, r.Limit)
	if err != nil {
		return err
	}
	r.selected[m] = selected
	return checkHosts(m, selected.Wanted)
}

// buildHosts builds one batch and keeps those of it that are wanted. A host
// that failed has its reason.
func (r *Runner) buildHosts(ctx context.Context, m *config.Master, master layers.Image, names, wanted []string) ([]host, error) {
	if err := r.ensureIdentities(ctx, m, names); err != nil {
		return nil, err
	}
	b := &batch{wanted: wanted, at: map[string]layers.Image{}, failed: map[string]error{}}
	defer func() { r.pack(ctx, master, b) }()
	for _, name := range names {
		b.at[name] = master
	}
	for i, s := range m.HostStages(r.Config) {
		if len(b.at) == 0 {
			break
		}
		if err := r.applyToHosts(ctx, m, i, s, b); err != nil {
			return nil, fmt.Errorf("applying stage %q to the hosts of %q: %w", s.Raw, m.Name, err)
		}
	}
	for name, err := range b.failed {
		if !slices.Contains(wanted, name) {
			r.notice(ctx, name, "this neighbour of the hosts that are built failed: what they took from it may be missing: %v", err)
		}
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(wanted, name) })
	hosts := make([]host, len(names))
	var finishes errgroup.Group
	finishes.SetLimit(runtime.NumCPU())
	for i, name := range names {
		hosts[i] = host{name: name, err: b.failed[name]}
		if hosts[i].err == nil {
			finishes.Go(func() error {
				hosts[i] = r.finishHost(ctx, m, name, master, b.at[name])
				r.hostEnded(ctx, m, name, hosts[i].err)
				return nil
			})
		}
	}
	return hosts, errors.Join(finishes.Wait(), ctx.Err())
}

// batch are hosts that are built at once.
type batch struct {
	wanted []string                // the others are there for their sake
	at     map[string]layers.Image // what each host has become so far
	failed map[string]error
	made   []layers.Image // all images on the way
}

// pack keeps the disk that a run takes bounded by the size of a batch: of
// hosts that are done, blobs are enough.
func (r *Runner) pack(ctx context.Context, master layers.Image, b *batch) {
	if ctx.Err() != nil {
		return // the end of the run gives up everything
	}
	if err := errors.Join(r.Engine.Pack(ctx, master, b.made...), r.Engine.Collect(ctx)); err != nil {
		r.Log.Warn("images of hosts take more of the disk than they need", "error", err)
	}
}

// applyToHosts moves each host one stage on; those that fail are taken out.
func (r *Runner) applyToHosts(ctx context.Context, m *config.Master, i int, s config.Stage, b *batch) error {
	step, labels, err := r.step(ctx, m, s, true, m.Image()+"/conffs", func(host string) string {
		if i == 0 {
			return m.Image()
		}
		return m.HostStageImage(r.Config, host, i-1)
	})
	if err != nil {
		return err
	}
	defer layers.CloseStep(step)
	var targets []layers.Target
	var refused refusals
	for _, name := range slices.Sorted(maps.Keys(b.at)) {
		options := r.container(m, s, name, false)
		options.Refused = refused.add
		options.MachineID = r.identities.machineID(name)
		targets = append(targets, layers.Target{Parent: b.at[name], ContainerOptions: options,
			Labels: map[string]string{provenance.LabelHost: name, provenance.LabelParent: b.at[name].Digest().String()}})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("it took longer than --timeout %s", r.Timeout))
	defer cancel()
	results, err := r.Engine.Apply(ctx, step, layers.Change{Created: r.time, CreatedBy: s.Raw, Labels: labels,
		Inspect: r.gate.inspect(r.identities.privateKeys, func(host, text string) { r.notice(ctx, host, "%s of %s: %s", s.Raw, host, text) })}, targets...)
	r.noticeRefused(ctx, s.Raw, &refused)
	if err != nil {
		return caused(ctx, err)
	}
	record, err := freshness.RecordStage(ctx, step, s, labels)
	if err != nil {
		return err
	}
	r.partsOf(m).addStage(i, record)
	for _, result := range results {
		b.at[result.Name] = result.Image
		if result.Err == nil {
			r.gate.pass(result.Image)
			b.made = append(b.made, result.Image)
		}
		if result.Err == nil && r.Config.Configuration.PushHosts == "all" {
			result.Err = r.keep(ctx, m.HostStageImage(r.Config, result.Name, i), result.Image, m.Image())
		}
		if result.Err != nil {
			b.failed[result.Name] = result.Err
			if slices.Contains(b.wanted, result.Name) {
				r.hostEnded(ctx, m, result.Name, result.Err)
			}
			delete(b.at, result.Name)
		}
	}
	return nil
}

// finishHost names the host's image and cuts its conffs.
func (r *Runner) finishHost(ctx context.Context, m *config.Master, name string, master, img layers.Image) host {
	h := host{name: name}
	if img, h.err = r.unchangedHost(ctx, m, name, master, img); h.err != nil {
		return h
	}
	h.image = img.Digest()
	if h.err = r.keepHost(ctx, m, name, img); h.err != nil {
		return h
	}
	file, err := export.ConffsName(name)
	if err != nil {
		h.err = err
		return h
	}
	dir := filepath.Join(r.work, m.Image())
	if h.err = os.MkdirAll(dir, 0o700); h.err != nil {
		return h
	}
	h.file = filepath.Join(dir, file)
	h.report, h.err = r.cut(ctx, master, img, name, h.file)
	return h
}

func (r *Runner) keepHost(ctx context.Context, m *config.Master, name string, img layers.Image) error {
	if r.Config.Configuration.PushHosts == "none" {
		r.remember(m.HostImage(name), img)
		return r.Engine.SetImage(ctx, m.HostImage(name), img)
	}
	return r.keep(ctx, m.HostImage(name), img, m.Image())
}

// ownFiles are those that every host's conffs holds: they do not make a host
// differ from its master.
var ownFiles = []string{"imginfo", "packages", "etc/hostname", "etc/machine-id", "etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_*_key.pub"}

// cut writes what a host's image changes in its master's, and the host's
// identity, to out.
func (r *Runner) cut(ctx context.Context, master, img layers.Image, name, out string) (export.ConffsReport, error) {
	report, err := export.Conffs(ctx, out, func(ctx context.Context, w io.Writer) error {
		report, err := r.Engine.Difference(ctx, master, img, w, r.mergeOptions(), r.identities.Layer(name)...)
		for _, big := range report.MetadataOnly {
			r.notice(ctx, name, "only the metadata of %s changed, and its %d MiB travel with it", big.Path, big.Size>>20)
		}
		return err
	}, export.ConffsOptions{MaxSize: r.Config.Configuration.ConffsMaxSize, Own: ownFiles})
	if err == nil && report.Empty {
		r.notice(ctx, name, "%s does not differ from its master: its conffs holds its name and its identity alone; is `conffs:` meant for it, and do the playbooks know `in_conffs_build`?", name)
	}
	return report, err
}
