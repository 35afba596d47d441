package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"vauban/ansible"
	"vauban/config"
	"vauban/export"
	"vauban/internal/text"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/provenance"
	"vauban/progress"
	"vauban/release"
)

// conffsTask applies the stages of a master's ancestry as each of its hosts and
// keeps what that changes.
type conffsTask struct {
	stages
	image  layers.Image // the master's, that the hosts are made of
	wanted []string     // of all the hosts
	// applied are the stages that the hosts got, of all batches together.
	applied []freshness.StageRecord
}

// host is one host of a batch.
type host struct {
	*conffsTask
	name   string
	wanted bool         // others are there for the sake of those that are
	image  layers.Image // what it has become so far
	err    error
}

// makeConffs builds the hosts of a master on the given image of its rootfs, or
// when the plan does not make that on the one that stands for it.
func (j *job) makeConffs(ctx context.Context, m *config.Master, rootfs *Image) (Conffs, string, error) {
	img, err := j.masterImage(ctx, m, rootfs)
	if err != nil {
		return Conffs{}, "", err
	}
	wanted, err := j.decide.hosts(ctx, m, j.selected[m].Wanted)
	if err != nil {
		return Conffs{}, "", err
	}
	t := &conffsTask{stages: stages{job: j, master: m, conffs: true, hosts: j.selected[m].All}, image: img, wanted: wanted}
	for _, name := range wanted {
		if other, taken := j.claims.take(name, m.Name); taken {
			j.notice(name, "master %q has conffs for it too", other)
		}
	}
	j.report(progress.Event{Type: progress.Hosts, Total: len(wanted)})
	made := Conffs{Image: Image{Name: m.Image(), Digest: img.Digest()}, All: t.hosts}
	for batch := range t.batches() {
		hosts, err := t.build(ctx, batch)
		if err != nil {
			return Conffs{}, "", err
		}
		made.Hosts = append(made.Hosts, hosts...)
	}
	made.Stages = t.applied
	if err := j.recordHosts(ctx, m, made); err != nil {
		return Conffs{}, "", err
	}
	if made.Failed() == 0 {
		return made, text.Count(len(wanted), "host"), nil
	}
	err = fmt.Errorf("%d of %d hosts failed", made.Failed(), len(wanted))
	if j.KeepGoing {
		return made, err.Error(), nil
	}
	return made, "", err
}

// batches are the names of the hosts that are built together.
func (t *conffsTask) batches() func(func([]string) bool) {
	switch {
	case len(t.wanted) == 0: // the inventory has fewer hosts than before
		return slices.Chunk([]string(nil), 1)
	case t.master.AnsibleRun == ansible.Together:
		return slices.Chunk(t.hosts, len(t.hosts)) // its plays look at all of them
	}
	return slices.Chunk(t.wanted, max(t.Batch, 1))
}

// claims are the masters whose conffs hosts get in a run. A host that several
// masters have is allowed: it boots what its entry names.
type claims struct {
	mu *sync.Mutex
	by map[string]string
}

func newClaims() claims { return claims{&sync.Mutex{}, map[string]string{}} }

// take gives a host to a master; other is the first that has it.
func (c claims) take(host, master string) (other string, taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, taken = c.by[host]; !taken {
		c.by[host] = master
	}
	return other, taken
}

// build builds one batch and gives those of it that are wanted.
func (t *conffsTask) build(ctx context.Context, names []string) ([]HostConffs, error) {
	if err := t.ensureIdentities(ctx, t.master, names); err != nil {
		return nil, err
	}
	var made []layers.Image // on the way
	defer func() { t.pack(ctx, made) }()
	var batch []*host
	for _, name := range names {
		batch = append(batch, &host{conffsTask: t, name: name, wanted: slices.Contains(t.wanted, name), image: t.image})
	}
	slices.SortFunc(batch, func(a, b *host) int { return strings.Compare(a.name, b.name) })
	for i, stage := range t.master.HostStages(t.Config) {
		images, err := t.applyStage(ctx, i, stage, batch)
		if err != nil {
			return nil, fmt.Errorf("applying stage %q to the hosts of %q: %w", stage.Raw, t.master.Name, err)
		}
		made = append(made, images...)
	}
	return t.finish(ctx, batch)
}

// pack keeps the disk that a run takes bounded by the size of a batch: of
// hosts that are done, blobs are enough.
func (t *conffsTask) pack(ctx context.Context, made []layers.Image) {
	if ctx.Err() != nil {
		return // the end of the run gives up everything
	}
	if err := errors.Join(t.Engine.Pack(ctx, t.image, made...), t.Engine.Collect(ctx)); err != nil {
		t.Log.Warn("images of hosts take more of the disk than they need", "error", err)
	}
}

// applyStage moves the hosts that have not failed one stage on, and gives the
// images that it makes.
func (t *conffsTask) applyStage(ctx context.Context, i int, stage config.Stage, batch []*host) (made []layers.Image, err error) {
	batch = slices.DeleteFunc(slices.Clone(batch), func(h *host) bool { return h.err != nil })
	if len(batch) == 0 {
		return nil, nil
	}
	step, labels, err := t.step(ctx, stage, t.master.Image()+"/conffs", func(name string) string {
		if i == 0 {
			return t.master.Image()
		}
		return t.master.HostStageImage(t.Config, name, i-1)
	})
	if err != nil {
		return nil, err
	}
	defer layers.CloseStep(step)
	var refused refusals
	var targets []layers.Target
	for _, h := range batch {
		targets = append(targets, h.target(stage, &refused))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.Timeout, fmt.Errorf("it took longer than --timeout %s", t.Timeout))
	defer cancel()
	results, err := t.Engine.Apply(ctx, step, layers.Change{Created: t.time, CreatedBy: stage.Raw, Labels: labels,
		Inspect: t.gate.Inspect(t.Identities.PrivateKeys, func(name, text string) { t.notice(name, "%s of %s: %s", stage.Raw, name, text) })}, targets...)
	t.noticeRefused(stage.Raw, &refused)
	if err != nil {
		return nil, caused(ctx, err)
	}
	record, err := freshness.RecordStage(ctx, step, stage, labels)
	if err != nil {
		return nil, err
	}
	t.addStage(i, record)
	for _, result := range results {
		k := slices.IndexFunc(batch, func(h *host) bool { return h.name == result.Name })
		if result.Err == nil {
			made = append(made, result.Image)
		}
		batch[k].moved(ctx, i, result)
	}
	return made, nil
}

// addStage notes stage i of the hosts' stages, which one batch got.
func (t *conffsTask) addStage(i int, record freshness.StageRecord) {
	for len(t.applied) <= i {
		t.applied = append(t.applied, freshness.StageRecord{})
	}
	t.applied[i].Add(record)
}

// finish cuts the conffs of a batch.
func (t *conffsTask) finish(ctx context.Context, batch []*host) ([]HostConffs, error) {
	for _, h := range batch {
		if h.err != nil && !h.wanted {
			t.notice(h.name, "this neighbour of the hosts that are built failed: what they took from it may be missing: %v", h.err)
		}
	}
	batch = slices.DeleteFunc(batch, func(h *host) bool { return !h.wanted })
	made := make([]HostConffs, len(batch))
	var finishes errgroup.Group
	finishes.SetLimit(runtime.NumCPU())
	for i, h := range batch {
		if h.err != nil {
			made[i] = HostConffs{Name: h.name, Failed: h.err.Error()}
			continue
		}
		finishes.Go(func() error {
			var err error
			if made[i], err = h.finish(ctx); err != nil {
				made[i] = HostConffs{Name: h.name, Failed: err.Error()}
			}
			t.hostEnded(t.master, h.name, err)
			return nil
		})
	}
	return made, errors.Join(finishes.Wait(), ctx.Err())
}

// target is the container of the host for a stage.
func (h *host) target(stage config.Stage, refused *refusals) layers.Target {
	options := h.container(stage, h.name)
	options.Refused = refused.add
	options.MachineID = h.Identities.MachineID(h.name)
	return layers.Target{Parent: h.image, ContainerOptions: options,
		Labels: map[string]string{provenance.LabelHost: h.name, provenance.LabelParent: h.image.Digest().String()}}
}

// moved takes over what stage i made of the host.
func (h *host) moved(ctx context.Context, i int, result layers.Result) {
	h.image, h.err = result.Image, result.Err
	if h.err == nil {
		h.gate.Pass(h.image)
		if h.Config.Configuration.PushHosts == "all" {
			h.err = h.keep(ctx, h.master.HostStageImage(h.Config, h.name, i), h.image, h.master.Image())
		}
	}
	if h.err != nil && h.wanted {
		h.hostEnded(h.master, h.name, h.err)
	}
}

// finish names the host's image and cuts its conffs.
func (h *host) finish(ctx context.Context) (made HostConffs, err error) {
	if h.image, err = h.unchanged(ctx); err != nil {
		return made, err
	}
	if err := h.keepImage(ctx); err != nil {
		return made, err
	}
	file, err := release.ConffsName(h.name)
	if err != nil {
		return made, err
	}
	dir := filepath.Join(h.work, h.master.Image())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return made, err
	}
	_, fromVault := h.Identities.Get(h.name)
	made = HostConffs{Name: h.name, Path: filepath.Join(dir, file), Image: h.image.Digest(), Identity: fromVault}
	made.Digest, err = h.cut(ctx, made.Path)
	return made, err
}

func (h *host) keepImage(ctx context.Context) error {
	name := h.master.HostImage(h.name)
	if h.Config.Configuration.PushHosts == "none" {
		h.images.set(name, h.image)
		return h.Engine.SetImage(ctx, name, h.image)
	}
	return h.keep(ctx, name, h.image, h.master.Image())
}

// ownFiles are those that every host's conffs holds: they do not make a host
// differ from its master.
var ownFiles = []string{"imginfo", "packages", "etc/hostname", "etc/machine-id", "etc/ssh/ssh_host_*_key", "etc/ssh/ssh_host_*_key.pub"}

// cut writes what the host's image changes in its master's, and the host's
// identity, to out, and gives the archive's digest.
func (h *host) cut(ctx context.Context, out string) (digest.Digest, error) {
	report, err := export.Conffs(ctx, out, func(ctx context.Context, w io.Writer) error {
		report, err := h.Engine.Difference(ctx, h.conffsTask.image, h.image, w, h.mergeOptions(), h.Identities.Layer(h.name)...)
		for _, big := range report.MetadataOnly {
			h.notice(h.name, "only the metadata of %s changed, and its %d MiB travel with it", big.Path, big.Size>>20)
		}
		return err
	}, export.ConffsOptions{MaxSize: h.Config.Configuration.ConffsMaxSize, Own: ownFiles})
	if err == nil && report.Empty {
		h.notice(h.name, "%s does not differ from its master: its conffs holds its name and its identity alone; is `conffs:` meant for it, and do the playbooks know `in_conffs_build`?", h.name)
	}
	return report.Digest, err
}
