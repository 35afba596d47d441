package ansible

import (
	"encoding/json"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// LabelPassed is the image label that lists, as JSON, what the image's last
// stage passed over. An image without it passed over nothing.
const LabelPassed = "vauban.passed"

// Passed is what a task left out because it wants a running machine.
type Passed struct {
	Host string `json:"-"`
	// Task is its name, Path its file and line.
	Task string `json:"task"`
	Path string `json:"path"`
	// What was left out, and why.
	What string `json:"what"`
}

// String is a line for people.
func (p Passed) String() string {
	if p.Path == "" {
		return fmt.Sprintf("%q: %s", p.Task, p.What)
	}
	return fmt.Sprintf("%q (%s): %s", p.Task, p.Path, p.What)
}

// pass notes what was passed over: of a loop, once.
func (r *record) pass(p Passed) {
	if slices.Contains(r.passed, p) {
		return
	}
	r.passed = append(r.passed, p)
	if h := r.hosts[p.Host]; h != nil {
		r.log(h, "passed over: "+p.What+"\n")
	}
}

// refusePassed fails each host of which something was passed over.
func (o *outcome) refusePassed() {
	for _, p := range o.passed {
		if o.failed[p.Host] == nil {
			o.failed[p.Host] = fmt.Errorf("--strict: task %s", p)
		}
	}
}

// labelPassed puts what was passed over of one host in its image.
func labelPassed(config *ocispec.ImageConfig, host string, passed []Passed) error {
	own := slices.DeleteFunc(slices.Clone(passed), func(p Passed) bool { return p.Host != host })
	if len(own) == 0 {
		delete(config.Labels, LabelPassed)
		return nil
	}
	list, err := json.Marshal(own)
	if err != nil {
		return fmt.Errorf("listing what was passed over: %w", err)
	}
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	config.Labels[LabelPassed] = string(list)
	return nil
}
