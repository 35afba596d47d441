package pipeline

import (
	"fmt"
	"sync"

	"vauban/layers"
)

// refusals collects the addresses of the builder that the containers of one
// stage tried to reach.
type refusals struct {
	mu    sync.Mutex
	order []layers.Refusal
	by    map[layers.Refusal][]string // the containers
	more  int
}

// add is called once for each container, at its end.
func (f *refusals) add(container string, refused []layers.Refusal, more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range refused {
		if f.by[one] == nil {
			f.order = append(f.order, one)
		}
		if f.by == nil {
			f.by = map[layers.Refusal][]string{}
		}
		f.by[one] = append(f.by[one], container)
	}
	f.more = max(f.more, more)
}

// noticeRefused reports what a stage was refused, each address once, and how
// to permit it.
func (j *job) noticeRefused(by string, f *refusals) {
	for _, line := range f.lines() {
		j.notice("", "%s: %s", by, line)
	}
}

func (f *refusals) lines() (lines []string) {
	for _, one := range f.order {
		on := ""
		if n := len(f.by[one]); n > 1 {
			on = fmt.Sprintf(" on %d hosts", n)
		}
		lines = append(lines, one.Explain(on))
	}
	if f.more > 0 {
		lines = append(lines, fmt.Sprintf("refused connections to %d more addresses", f.more))
	}
	return lines
}
