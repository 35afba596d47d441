package freshness

import (
	"context"
	"fmt"
	"maps"
	"net/url"

	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/layers"
	"vauban/layers/diff"
	"vauban/pipeline/provenance"
)

// wrapping is a step around another one.
type wrapping interface{ Unwrap() layers.Step }

// RecordStage is what is to be known of a stage that was applied.
func RecordStage(ctx context.Context, step layers.Step, stage config.Stage, labels map[string]string) (StageRecord, error) {
	s := StageRecord{Stage: stage.Raw, Branch: labels[provenance.LabelBranch], Commit: labels[provenance.LabelCommit]}
	for {
		w, ok := step.(wrapping)
		if !ok {
			break
		}
		step = w.Unwrap()
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

// BaseInputs are what config.yml says of a base besides its stages; recipe is
// the key of the Dockerfile that prepares it.
func BaseInputs(b *config.Base, recipe digest.Digest) ansible.Inputs {
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

// MasterInputs are what config.yml says of a master besides its stages.
func MasterInputs(m *config.Master) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add("network", m.Network)
	inputs.Add("keep_ansible", m.KeepAnsible)
	return inputs
}

// VaultInput is set for hosts that have keys of a vault. That a machine has no
// access to it is not a reason to build them without.
const VaultInput = "a vault is set up"

// HostInputs are what config.yml says of hosts besides their stages.
func HostInputs(cfg *config.Config, m *config.Master, identities bool) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add("network", m.Network)
	inputs.Add("conffs_exclude or vauban's own", append(diff.DefaultExcludes(), cfg.Configuration.ConffsExclude...))
	inputs.Add(VaultInput, identities)
	return inputs
}

// RootfsInputs are what the root filesystem of a release depends on besides the
// image.
func RootfsInputs(cfg *config.Config, m *config.Master, identities bool) (ansible.Inputs, error) {
	packing, err := PackingOptions(cfg, m, nil)
	if err != nil {
		return nil, err
	}
	inputs := ansible.Inputs{}
	inputs.Add("export, its list or vauban's own", packing.Digest())
	inputs.Add(VaultInput, identities && m.OwnIdentity() != "")
	return inputs, nil
}

// KernelInputs are what kernel and initramfs of a release depend on besides the
// image; recipe is the key of the initramfs'.
func KernelInputs(m *config.Master, recipe digest.Digest) ansible.Inputs {
	inputs := ansible.Inputs{}
	inputs.Add("kernel", m.Kernel)
	inputs.Add("Dockerfile.initramfs or what it copies", recipe)
	return inputs
}

// PlaybookOptions are those that the result depends on. What the hosts of a
// master share stands in its own options, also for the stages of its
// ancestors.
func PlaybookOptions(m *config.Master, stage config.Stage, revision repository.Revision, conffs bool, hosts []string) ansible.PlaybookOptions {
	return ansible.PlaybookOptions{
		Revision: revision, Path: stage.Playbook, Master: config.MachineName(m.Name), Groups: m.Groups,
		Conffs: conffs, Mode: m.AnsibleRun, Hosts: hosts, Facts: m.Facts, Init: stage.Init,
	}
}
