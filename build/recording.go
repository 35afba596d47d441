package build

import (
	"context"
	"fmt"
	"maps"
	"net/url"

	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/config"
	"vauban/export"
	"vauban/layers"
	"vauban/layers/diff"
)

// recording tells whether the run is one of a configuration: what is made of
// images that were given says nothing of it.
func (r *Runner) recording() bool { return len(r.Given) == 0 }

// recordImage notes what a base or a master was made from, once its image has
// its tags.
func (r *Runner) recordImage(ctx context.Context, name string, made Record) error {
	if !r.recording() {
		return nil
	}
	return r.records.Update(ctx, name, !r.NoPush, func(record *Record) {
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
func (r *Runner) recordHosts(ctx context.Context, m *config.Master, master digest.Digest) error {
	p := r.partsOf(m)
	made := map[string]digest.Digest{}
	for _, h := range p.hosts {
		if h.err == nil {
			made[h.name] = h.image
		}
	}
	if !r.recording() {
		return nil
	}
	run := HostRun{Master: master, Made: r.time, Inputs: hostInputs(r.Config, m, r.Identities != nil), Stages: p.hostStages}
	return r.records.Update(ctx, m.Image(), !r.NoPush, func(record *Record) { record.setHosts(run, made, p.allHosts) })
}

// recordRelease notes what was published of a master. What the run did not make
// of it is as the record before says.
func (r *Runner) recordRelease(ctx context.Context, m *config.Master, published *export.Published) error {
	if !r.recording() {
		return nil
	}
	release := ReleaseRecord{Timestamp: published.Timestamp, Image: published.Rootfs.Image, Kernel: published.Kernel.Version}
	hosts := map[string]HostRecord{}
	for name, conffs := range published.Hosts {
		hosts[name] = HostRecord{Image: conffs.Image}
	}
	release.Hosts = hostsDigest(hosts)
	var rootfs, kernel ansible.Inputs
	var err error
	p := r.partsOf(m)
	if r.plan.Find(MakeSquashfs, m) != nil || p.rootfs != "" {
		if rootfs, err = rootfsInputs(r.Config, m, r.Identities != nil); err != nil {
			return err
		}
	}
	if r.plan.Find(MakeKernel, m) != nil || p.kernel != nil {
		key, err := initramfsKey(ctx, r.Config, m, release.Kernel)
		if err != nil {
			return err
		}
		kernel = kernelInputs(m, key)
	}
	return r.records.Update(ctx, m.Image(), !r.NoPush, func(record *Record) { record.setRelease(release, rootfs, kernel) })
}

// wrapping is a step around another one.
type wrapping interface{ unwrap() layers.Step }

func (t *traced) unwrap() layers.Step { return t.Step }
func (l *logged) unwrap() layers.Step { return l.Step }

// stageRecord is what is to be known of a stage that was applied.
func stageRecord(ctx context.Context, step layers.Step, stage config.Stage, labels map[string]string) (StageRecord, error) {
	s := StageRecord{Stage: stage.Raw, Branch: labels[labelBranch], Commit: labels[labelCommit]}
	for {
		w, ok := step.(wrapping)
		if !ok {
			break
		}
		step = w.unwrap()
	}
	if playbook, ok := step.(*ansible.Playbook); ok {
		inputs, err := playbook.Inputs(ctx)
		if err != nil {
			return s, err
		}
		s.Inputs, s.Reads = withInit(inputs, stage), playbook.Reads()
		return s, nil
	}
	key, err := step.Key(ctx, "")
	s.Inputs = dockerfileInputs(stage, key)
	return s, err
}

// withInit adds what a stage itself says besides its playbook.
func withInit(inputs ansible.Inputs, stage config.Stage) ansible.Inputs {
	all := maps.Clone(inputs)
	all.Add("init", stage.Init)
	return all
}

func dockerfileInputs(stage config.Stage, key digest.Digest) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add(fmt.Sprintf("%s or what it copies", stage.Dockerfile), key)
	return inputs
}

// baseInputs are what config.yml says of a base besides its stages; recipe is
// the key of the Dockerfile that prepares it.
func baseInputs(b *config.Base, recipe digest.Digest) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add(string(b.Source.Kind), withoutLogin(b.Source.Value))
	inputs.Add("sha256", b.SHA256)
	inputs.Add("sha512sums", withoutLogin(b.SHA512Sums))
	inputs.Add("mirror", b.Mirror)
	inputs.Add("components", b.Components)
	inputs.Add("variant", b.Variant)
	inputs.Add("include", b.Include)
	inputs.Add("keyring", b.Keyring)
	inputs.Add("snapshot", b.Snapshot)
	inputs.Add("arch", b.Arch)
	inputs.Add("kernel, Dockerfile.base or what it copies", recipe)
	return inputs
}

// withoutLogin is a URL that stays the same when a password changes, and of
// which no digest of a password can be guessed.
func withoutLogin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text
	}
	u.User = nil
	return u.String()
}

// masterInputs are what config.yml says of a master besides its stages.
func masterInputs(m *config.Master) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add("network", m.Network)
	inputs.Add("keep_ansible", m.KeepAnsible)
	return inputs
}

// vaultInput is set for hosts that have keys of a vault. That a machine has no
// access to it is no reason to build them without.
const vaultInput = "a vault is set up"

// hostInputs are what config.yml says of hosts besides their stages.
func hostInputs(cfg *config.Config, m *config.Master, identities bool) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add("network", m.Network)
	inputs.Add("conffs_exclude or vauban's own", append(diff.DefaultExcludes(), cfg.Configuration.ConffsExclude...))
	inputs.Add(vaultInput, identities)
	return inputs
}

// rootfsInputs are what the root filesystem of a release depends on besides the
// image.
func rootfsInputs(cfg *config.Config, m *config.Master, identities bool) (ansible.Inputs, error) {
	packing, err := PackingOptions(cfg, m, nil)
	if err != nil {
		return nil, err
	}
	inputs := ansible.Inputs{}
	inputs.Add("export, its list or vauban's own", packing.Digest())
	inputs.Add(vaultInput, identities && OwnIdentity(m) != "")
	return inputs, nil
}

// kernelInputs are what kernel and initramfs of a release depend on besides the
// image; recipe is the key of the initramfs'.
func kernelInputs(m *config.Master, recipe digest.Digest) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add("kernel", m.Kernel)
	inputs.Add("Dockerfile.initramfs or what it copies", recipe)
	return inputs
}
