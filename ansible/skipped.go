package ansible

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// LabelPassed is the image label that lists, as JSON, what the image's last
// stage skipped. An image without it skipped nothing.
const LabelPassed = "vauban.passed"

// Passed is what a task left out because it needs a running machine.
type Passed struct {
	Host string `json:"-"`
	// Task is its name, Path its file and line.
	Task string `json:"task"`
	Path string `json:"path"`
	// What was left out, and why.
	What string `json:"what"`
	// More, when it is not 0, is all that this entry has: so many notes
	// of the host follow that are not kept.
	More int `json:"more,omitempty"`
}

// Anything in a container can write notes, at any length.
const (
	// maxPassed is how many different notes of a host are kept.
	maxPassed = 100
	// maxNote bounds each text of a note, in bytes.
	maxNote = 300
)

// notes are what was left out on the hosts of a run: each once, and so many of
// each host.
type notes struct {
	all  []Passed
	seen map[Passed]bool
	kept map[string]int // by host
	more map[string]int
}

// add says whether the note is new and kept.
func (n *notes) add(p Passed) bool {
	if n.seen == nil {
		n.seen, n.kept, n.more = map[Passed]bool{}, map[string]int{}, map[string]int{}
	}
	switch {
	case n.seen[p]:
		return false
	case n.kept[p.Host] == maxPassed:
		n.more[p.Host]++
		return false
	}
	n.all, n.seen[p] = append(n.all, p), true
	n.kept[p.Host]++
	return true
}

// list is what was kept, with the counts of what was not.
func (n *notes) list() []Passed {
	all := slices.Clone(n.all)
	for _, host := range slices.Sorted(maps.Keys(n.more)) {
		all = append(all, Passed{Host: host, More: n.more[host]})
	}
	return all
}

// noteText is a bounded text without what a terminal would obey.
func noteText(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, oneLine(text))
	if len(text) <= maxNote {
		return text
	}
	return strings.ToValidUTF8(text[:maxNote], "") + "…"
}

// String is a line for people.
func (p Passed) String() string {
	switch {
	case p.More > 0:
		return fmt.Sprintf("and %d more", p.More)
	case p.Path == "":
		return fmt.Sprintf("%q: %s", p.Task, p.What)
	}
	return fmt.Sprintf("%q (%s): %s", p.Task, p.Path, p.What)
}

// pass notes what was skipped: of a loop, once.
func (r *record) pass(p Passed) {
	p.Task, p.Path, p.What = noteText(p.Task), noteText(p.Path), noteText(p.What)
	if !r.passed.add(p) {
		return
	}
	if h := r.hosts[p.Host]; h != nil {
		r.log(h, "skipped: "+p.What+"\n")
	}
}

// refusePassed fails each host on which something was skipped.
func (o *outcome) refusePassed() {
	for _, p := range o.passed {
		if o.failed[p.Host] == nil && p.More == 0 {
			o.failed[p.Host] = fmt.Errorf("--strict: task %s", p)
		}
	}
}

// labelPassed puts what was skipped of one host in its image.
func labelPassed(config *ocispec.ImageConfig, host string, passed []Passed) error {
	var own []Passed
	for _, p := range passed {
		if p.Host == host {
			own = append(own, p)
		}
	}
	if len(own) == 0 {
		delete(config.Labels, LabelPassed)
		return nil
	}
	list, err := json.Marshal(own)
	if err != nil {
		return fmt.Errorf("listing what was skipped: %w", err)
	}
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	config.Labels[LabelPassed] = string(list)
	return nil
}
