package pipeline

import (
	"sync"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/export"
	"vauban/layers"
	"vauban/pipeline/freshness"
)

// parts are what a run made of one master, waiting to be published together.
type parts struct {
	mu       sync.Mutex
	image    *layers.Image // the master's, which rootfs and conffs are made of
	rootfs   string        // squashfs file; "" when the run made none
	report   export.RootfsReport
	packing  digest.Digest // of the options that it was packed with
	kernel   *kernel
	hosts    []host
	allHosts []string // that the master has; nil when nobody asked
	// hostStages are the stages that the hosts got, of all batches together.
	hostStages []freshness.StageRecord
}

// host is what became of one host's conffs.
type host struct {
	name   string
	file   string
	image  digest.Digest // of the host's image
	report export.ConffsReport
	err    error
}

func (p *parts) setImage(img layers.Image) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.image = &img
}

func (p *parts) update(set func(*parts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set(p)
}

// addStage notes stage i of the hosts' stages, which one batch got.
func (p *parts) addStage(i int, record freshness.StageRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.hostStages) <= i {
		p.hostStages = append(p.hostStages, freshness.StageRecord{})
	}
	p.hostStages[i].Add(record)
}

func (r *Runner) partsOf(m *config.Master) *parts {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parts[m] == nil {
		r.parts[m] = &parts{}
	}
	return r.parts[m]
}
