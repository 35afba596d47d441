package freshness

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/ansible/repository"
)

// Record tells what a base, or a master and its hosts, were made from: enough
// to decide whether they would come out otherwise today.
type Record struct {
	Version int `json:"version"`
	// Image is what was made, of Parent, at the time of Made. A later build
	// with the same result sets Made again.
	Image  digest.Digest `json:"image,omitempty"`
	Parent digest.Digest `json:"parent,omitempty"`
	Made   time.Time     `json:"made"`
	Tool   string        `json:"tool,omitempty"`
	// From is the image or the file that a base's source named, if anything
	// says which.
	From digest.Digest `json:"from,omitempty"`
	// Inputs are what config.yml says besides the stages.
	Inputs ansible.Inputs `json:"inputs,omitempty"`
	Stages []StageRecord  `json:"stages,omitempty"`
	// Runs made the hosts: hosts that were built together share one.
	Runs  []HostRun             `json:"runs,omitempty"`
	Hosts map[string]HostRecord `json:"hosts,omitempty"`
	// Release is what was last published. Nil: nothing was.
	Release *ReleaseRecord `json:"release,omitempty"`
}

// StageRecord is one stage as it was applied.
type StageRecord struct {
	Stage  string         `json:"stage"` // as config.yml has it
	Branch string         `json:"branch,omitempty"`
	Commit string         `json:"commit,omitempty"`
	Inputs ansible.Inputs `json:"inputs,omitempty"`
	// Reads of the repository's files. A Dockerfile has none.
	Reads repository.Reads `json:"reads,omitzero"`
}

// HostRun is what the hosts of one run were made with.
type HostRun struct {
	Master digest.Digest  `json:"master"` // the image they are made of
	Made   time.Time      `json:"made"`
	Inputs ansible.Inputs `json:"inputs,omitempty"`
	Stages []StageRecord  `json:"stages,omitempty"`
}

// HostRecord is one host.
type HostRecord struct {
	Image digest.Digest `json:"image"`
	Run   int           `json:"run"` // of the record's Runs
}

// ReleaseRecord is what was published last.
type ReleaseRecord struct {
	Timestamp string        `json:"timestamp"`
	Image     digest.Digest `json:"image"`            // the master's
	Kernel    string        `json:"kernel,omitempty"` // its version
	Hosts     digest.Digest `json:"hosts"`            // see hostsDigest
	// What its root filesystem and its kernel were made with.
	RootfsInputs ansible.Inputs `json:"rootfs_inputs,omitempty"`
	KernelInputs ansible.Inputs `json:"kernel_inputs,omitempty"`
}

const (
	recordVersion   = 1
	recordMediaType = "application/vnd.vauban.freshness.v1+gzip"
	// recordTag is the tag of an image's name that its record is under.
	RecordTag = "freshness"
	// maxRecord bounds what a record may unpack to.
	maxRecord = 64 << 20
)

// SetHosts takes over what a run made of hosts. Those that the master no
// longer has are forgotten; all is nil when that is not known.
func (r *Record) SetHosts(run HostRun, made map[string]digest.Digest, all []string) {
	hosts := map[string]HostRecord{}
	for name, h := range r.Hosts {
		hosts[name] = h
	}
	for name, image := range made {
		if h, ok := hosts[name]; ok && r.Runs[h.Run].Made.After(run.Made) {
			continue // of a newer run
		}
		hosts[name] = HostRecord{Image: image, Run: len(r.Runs)}
	}
	if all != nil {
		known := map[string]bool{}
		for _, name := range all {
			known[name] = true
		}
		maps.DeleteFunc(hosts, func(name string, _ HostRecord) bool { return !known[name] })
	}
	runs := append(r.Runs[:len(r.Runs):len(r.Runs)], run)
	r.Runs, r.Hosts = nil, hosts
	// Runs that made no host of today are dropped.
	place := map[int]int{}
	for i, run := range runs {
		for _, h := range hosts {
			if h.Run == i {
				place[i] = len(r.Runs)
				r.Runs = append(r.Runs, run)
				break
			}
		}
	}
	for name, h := range hosts {
		h.Run = place[h.Run]
		hosts[name] = h
	}
}

// SetRelease takes over what was published. Inputs that are nil stay those of
// the release before, from which that part was taken.
func (r *Record) SetRelease(release ReleaseRecord, rootfs, kernel ansible.Inputs) {
	if r.Release != nil {
		release.RootfsInputs, release.KernelInputs = r.Release.RootfsInputs, r.Release.KernelInputs
	}
	if rootfs != nil {
		release.RootfsInputs = rootfs
	}
	if kernel != nil {
		release.KernelInputs = kernel
	}
	r.Release = &release
}

// HostsDigest covers the names and images of the hosts.
func HostsDigest(hosts map[string]HostRecord) digest.Digest {
	d := digest.Canonical.Digester()
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		fmt.Fprintf(d.Hash(), "%s %s\n", name, hosts[name].Image)
	}
	return d.Digest()
}

// Add joins what another batch of hosts noted of a stage.
func (s *StageRecord) Add(other StageRecord) {
	reads := s.Reads
	*s = other
	s.Reads.Add(reads)
}

// encode is the record as it is stored: the same bytes for the same record.
func (r *Record) encode() ([]byte, error) {
	r.Version = recordVersion
	data, err := json.Marshal(r)
	if err == nil {
		data, err = pack(data)
	}
	if err != nil {
		return nil, fmt.Errorf("writing a record: %w", err)
	}
	return data, nil
}

// decodeRecord reads a record, and refuses what the decision could not use.
func decodeRecord(data []byte) (*Record, error) {
	var r Record
	data, err := unpack(data)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("reading a record: version %d is not known here", r.Version)
	}
	for name, h := range r.Hosts {
		if h.Run < 0 || h.Run >= len(r.Runs) {
			return nil, fmt.Errorf("reading a record: host %q is of a run that is not there", name)
		}
	}
	return &r, nil
}
