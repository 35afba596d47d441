package release

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vauban/internal/text"

	"github.com/opencontainers/go-digest"
)

// ErrMixed is the kind of error of a set whose rootfs and conffs do not come
// from the same image of the master.
var ErrMixed = errors.New("rootfs and conffs do not belong together")

// A Manifest says what a release holds and which images that was made of. It
// is the release's manifest.json.
type Manifest struct {
	Master    string                 `json:"master"`
	Timestamp string                 `json:"timestamp"`      // names the release, see TimestampFormat
	Tool      string                 `json:"tool,omitempty"` // what published it, with its version
	Kernel    KernelEntry            `json:"kernel"`
	Rootfs    RootfsEntry            `json:"rootfs"`
	Hosts     map[string]ConffsEntry `json:"hosts"` // by host name
	// Missing are hosts of the master that the release lacks, as they were not
	// asked for or failed in a run that was to go on.
	Missing []string `json:"missing,omitempty"`
	// Leaving are hosts of the release that the master no longer has: the next
	// run that builds conffs leaves them out.
	Leaving []string `json:"leaving,omitempty"`
}

// A KernelEntry is the kernel of a release with its initramfs. Both files are
// links into the pool.
type KernelEntry struct {
	Version   string `json:"version"` // as uname -r has it
	Vmlinuz   File   `json:"vmlinuz"`
	Initramfs File   `json:"initramfs"`
	// Built is as in a RootfsEntry.
	Built string `json:"built,omitempty"`
}

// A RootfsEntry is the root filesystem of a release.
type RootfsEntry struct {
	File
	Image   digest.Digest `json:"image"`   // of the master's image it was packed from
	Kernels []string      `json:"kernels"` // versions it has modules for
	// Parameters are what playbooks want on the kernel's command line.
	Parameters []string `json:"parameters,omitempty"`
	// Built is the timestamp of the run that made it, which the release's own
	// may be later than. "" in releases of before this was noted.
	Built string `json:"built,omitempty"`
	// Packing is the RootfsOptions' Digest.
	Packing digest.Digest `json:"packing,omitempty"`
	// Identity is as in a ConffsEntry.
	Identity Identity `json:"identity,omitempty"`
}

// Identity says where the SSH host keys and the machine-id in a file are from.
type Identity string

// "" is unknown: a release of before this was noted.
const (
	FromVault  Identity = "vault"
	NoIdentity Identity = "none" // no keys, and a machine-id made of the host's name
)

func identity(fromVault bool) Identity {
	if fromVault {
		return FromVault
	}
	return NoIdentity
}

// built is when the run began that made the rootfs, as far as is known.
func (m *Manifest) built() string { return cmp.Or(m.Rootfs.Built, m.Timestamp) }

// A ConffsEntry is the conffs of one host.
type ConffsEntry struct {
	File
	Image  digest.Digest `json:"image"`  // of the host's image
	Master digest.Digest `json:"master"` // of the master's image it was cut on
	// Built is as in a RootfsEntry.
	Built string `json:"built,omitempty"`
	// Identity reports whether the host has one of a vault.
	Identity Identity `json:"identity,omitempty"`
}

// files returns all files of the release, sorted by name.
func (m *Manifest) files() []File {
	all := []File{m.Kernel.Vmlinuz, m.Kernel.Initramfs, m.Rootfs.File}
	for _, h := range m.Hosts {
		all = append(all, h.File)
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// same reports whether two releases serve the same: all but when and by whom.
func (m *Manifest) same(other *Manifest) bool {
	sameConffs := func(a, b ConffsEntry) bool {
		return a.File == b.File && a.Image == b.Image && a.Master == b.Master
	}
	return m.Kernel.Version == other.Kernel.Version && m.Kernel.Vmlinuz == other.Kernel.Vmlinuz &&
		m.Kernel.Initramfs == other.Kernel.Initramfs &&
		m.Rootfs.File == other.Rootfs.File && m.Rootfs.Image == other.Rootfs.Image &&
		slices.Equal(m.Rootfs.Kernels, other.Rootfs.Kernels) && slices.Equal(m.Rootfs.Parameters, other.Rootfs.Parameters) &&
		maps.EqualFunc(m.Hosts, other.Hosts, sameConffs) &&
		slices.Equal(m.Missing, other.Missing) && slices.Equal(m.Leaving, other.Leaving)
}

// ParseManifest reads a manifest.json and checks that it is one that a release
// can have. Fields it does not know are ignored.
func ParseManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	return &m, nil
}

func (m *Manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// check refuses names that could leave the tree, and what cannot boot.
func (m *Manifest) check() error {
	if err := errors.Join(CheckMaster(m.Master), checkTimestamp(m.Timestamp), checkVersion(m.Kernel.Version)); err != nil {
		return err
	}
	if err := checkTimestamp(m.built()); err != nil {
		return err
	}
	for host, h := range m.Hosts {
		name, err := ConffsName(host)
		if err != nil {
			return err
		}
		if err := h.File.check(name); err != nil {
			return err
		}
	}
	return errors.Join(
		m.Rootfs.File.check(rootfsName),
		m.Kernel.Vmlinuz.check(vmlinuzName),
		m.Kernel.Initramfs.check(initramfsName),
		m.CheckMasterImage(),
		m.checkKernel(),
	)
}

// CheckMasterImage refuses a set whose parts were made of different images of
// the master: what a host deleted or changed would be applied to another tree.
func (m *Manifest) CheckMasterImage() error {
	var others []string
	for _, host := range slices.Sorted(maps.Keys(m.Hosts)) {
		if m.Hosts[host].Master != m.Rootfs.Image {
			others = append(others, host)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the rootfs is of the image %s, the conffs of %s were cut on %s; "+
		"build these hosts again (vauban build %s --stage conffs), or the rootfs on the image they name (--stage rootfs)",
		ErrMixed, m.Rootfs.Image, text.Quoted(maxNamed, others), m.Hosts[others[0]].Master, m.Master)
}

// checkKernel refuses a rootfs that cannot load a module of its kernel.
func (m *Manifest) checkKernel() error {
	if slices.Contains(m.Rootfs.Kernels, m.Kernel.Version) {
		return nil
	}
	return fmt.Errorf("the rootfs has no modules for the kernel %s in /usr/lib/modules, only for %s; "+
		"build the kernel and initramfs again (vauban build %s --stage initramfs), or install that kernel in the master",
		m.Kernel.Version, text.Quoted(maxNamed, m.Rootfs.Kernels), m.Master)
}
