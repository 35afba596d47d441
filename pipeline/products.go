package pipeline

import (
	"github.com/opencontainers/go-digest"

	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
)

// A Product is what a task made, as a value that the tasks which need it are
// given: an [Image], a [Squashfs], a [Kernel], [Conffs] or a [Release]. It can be
// written as JSON and read back, and says by digest what it was made of.
type Product any

// Outcome is what became of a task of a run.
type Outcome = plan.Outcome[Product]

// Image is an image of a base or a master, with its name in the registry.
type Image struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
}

// Squashfs is the root filesystem of a master, packed.
type Squashfs struct {
	// Image is the master's.
	Image Image `json:"image"`
	// Path of the file. Empty: the release that is served has it, or the first
	// release waits for its hosts.
	Path string `json:"path,omitempty"`
	// Kernels are the versions whose modules it holds.
	Kernels []string `json:"kernels,omitempty"`
	// Parameters of the kernel that its boot entries get.
	Parameters []string `json:"parameters,omitempty"`
	// Packing digests the options that it was packed with.
	Packing digest.Digest `json:"packing,omitempty"`
	// Identity is set when it holds SSH keys and a machine-id of a vault.
	Identity bool `json:"identity,omitempty"`
}

// Kernel is a kernel and the initramfs that was built for it.
type Kernel struct {
	// Image is the master's that has the kernel's modules.
	Image     Image  `json:"image"`
	Version   string `json:"version"`
	Vmlinuz   string `json:"vmlinuz"`   // a path
	Initramfs string `json:"initramfs"` // a path
}

// Conffs are the hosts that were built of a master.
type Conffs struct {
	// Image is the master's, on which they were cut.
	Image Image `json:"image"`
	// All are the hosts that the master has, built or not.
	All   []string     `json:"all"`
	Hosts []HostConffs `json:"hosts"`
	// Stages are those that the hosts got, of all batches together.
	Stages []freshness.StageRecord `json:"stages,omitempty"`
}

// HostConffs is what became of one host.
type HostConffs struct {
	Name string `json:"name"`
	// Failed says why there is none. Empty: there is.
	Failed string `json:"failed,omitempty"`
	// Path and Digest of the archive, and the host's image that it was cut from.
	Path   string        `json:"path,omitempty"`
	Digest digest.Digest `json:"digest,omitempty"`
	Image  digest.Digest `json:"image,omitempty"`
	// Identity is set when it holds SSH keys and a machine-id of a vault.
	Identity bool `json:"identity,omitempty"`
}

// Failed counts the hosts that failed.
func (c Conffs) Failed() (n int) {
	for _, h := range c.Hosts {
		if h.Failed != "" {
			n++
		}
	}
	return n
}

// Release is a release as it was published.
type Release struct {
	Master    string        `json:"master"`
	Timestamp string        `json:"timestamp"`
	Dir       string        `json:"dir"`
	Image     digest.Digest `json:"image"` // the master's
	// Candidate is set while another release is served.
	Candidate bool `json:"candidate,omitempty"`
}

// given are the products of the tasks that a task needs.
type given = plan.Made[Product]

// made is the product of one kind among those that a task is given; nil when no
// task of the plan made it.
func made[P Product](of given, kind plan.Kind) *P {
	if p, ok := of[kind].(P); ok {
		return &p
	}
	return nil
}

// product is what a task returns.
func product[P Product](p P, note string, err error) (Product, string, error) { return p, note, err }
