// Package plan says what a command has to make, in which order and why, and
// runs such a plan.
package plan

import (
	"fmt"
	"slices"
	"strings"

	"vauban/config"
)

// Stage says what of a master is to be built.
type Stage string

// The four words of --stage and of the stage variable.
const (
	Rootfs    Stage = "rootfs"
	Conffs    Stage = "conffs"
	Initramfs Stage = "initramfs"
	All       Stage = "all"
)

// AllParents asks for every ancestor, the base included.
const AllParents = -1

// ParseStage reads one of the four words.
func ParseStage(s string) (Stage, error) {
	switch stage := Stage(s); stage {
	case Rootfs, Conffs, Initramfs, All:
		return stage, nil
	}
	return "", fmt.Errorf("stage %q is none of rootfs, conffs, initramfs, all", s)
}

// Request is what a user asks for.
type Request struct {
	// Names are masters or bases, by key or name.
	Names []string
	Stage Stage
	// Parents is how many ancestors are built too. More than there are, or
	// AllParents, means all; the base counts as the last one.
	Parents int
	// Children builds all that descends from the names too.
	Children bool
}

// Kind is what a task makes.
type Kind string

// The kinds of tasks.
const (
	MakeBase     Kind = "base"     // imports a base and prepares it
	MakeRootfs   Kind = "rootfs"   // applies a master's stages
	MakeConffs   Kind = "conffs"   // applies them again as each host
	MakeKernel   Kind = "kernel"   // takes the kernel and builds the initramfs
	MakeSquashfs Kind = "squashfs" // exports the rootfs
	MakeRelease  Kind = "release"  // publishes a master's set
)

// Task is one piece of work. Base is always set, Master but for a base.
type Task struct {
	Kind   Kind
	Base   *config.Base
	Master *config.Master
	// Needs are the tasks of the same plan that must have succeeded.
	Needs []*Task
	// Why tells what put the task into the plan.
	Why string
	// Verdict on what it makes. Nil: nobody asked.
	Verdict *Verdict
}

// Subject names what the task is about.
func (t *Task) Subject() string {
	if t.Master == nil {
		return t.Base.Name
	}
	return t.Master.Name
}

func (t *Task) String() string { return string(t.Kind) + " " + t.Subject() }

// Plan is a graph of tasks, each after those it needs.
type Plan struct {
	Tasks []*Task
	// Notices tell what was asked for and is not in the plan.
	Notices []string
}

// NeedsRepository reports whether a task applies a playbook or asks ansible for
// hosts, or applies a user's Dockerfile, whose context may have the secrets that
// the repository's ansible.cfg names.
func (p *Plan) NeedsRepository(cfg *config.Config, s config.Settings) bool {
	return slices.ContainsFunc(p.Tasks, func(t *Task) bool {
		return t.Kind == MakeConffs || needRepository(t.Stages(cfg), s)
	})
}

// NeedsRepository reports whether the whole tree does: see [Plan.NeedsRepository].
func NeedsRepository(cfg *config.Config, s config.Settings) bool {
	return slices.ContainsFunc(cfg.Bases, func(b *config.Base) bool { return needRepository(b.Stages, s) }) ||
		slices.ContainsFunc(cfg.Masters(), func(m *config.Master) bool { return m.Conffs != "" || needRepository(m.Stages, s) })
}

func needRepository(stages []config.Stage, s config.Settings) bool {
	return slices.ContainsFunc(stages, func(stage config.Stage) bool { return stage.Playbook != "" || s.AnsibleRepo != "" })
}

// Images names the images that the plan makes, less the intermediate ones.
func (p *Plan) Images() []string {
	var names []string
	for _, t := range p.Tasks {
		switch t.Kind {
		case MakeBase:
			names = append(names, t.Base.RawImage(), t.Base.PreparedImage(), t.Base.Image())
		case MakeRootfs:
			names = append(names, t.Master.Image())
		}
	}
	return names
}

// Find returns the plan's task of that kind for a master, or nil.
func (p *Plan) Find(kind Kind, m *config.Master) *Task {
	for _, t := range p.Tasks {
		if t.Kind == kind && t.Master == m {
			return t
		}
	}
	return nil
}

// New plans requests. It reads nothing but the configuration.
func New(cfg *config.Config, requests ...Request) (*Plan, error) {
	want := wanted{}
	var notices []string
	for _, r := range requests {
		for _, name := range r.Names {
			base, master, err := cfg.Find(name)
			if err != nil {
				return nil, err
			}
			if master == nil {
				err = want.base(base, r)
			} else {
				err = want.master(cfg, master, r)
			}
			if err != nil {
				return nil, err
			}
			if master != nil && r.Stage == All && master.Conffs == "" {
				notices = append(notices, fmt.Sprintf("master %q has no `conffs:`, so no hosts are built", master.Name))
			}
		}
	}
	p := want.plan(cfg)
	p.Notices = notices
	return p, nil
}

// Stages are those that the task applies.
func (t *Task) Stages(cfg *config.Config) []config.Stage {
	switch t.Kind {
	case MakeBase:
		return t.Base.Stages
	case MakeRootfs:
		return t.Master.Stages
	case MakeConffs:
		return t.Master.HostStages(cfg)
	}
	return nil
}

// key names a piece of work before it has its place in the graph; for a base
// Master is nil.
type key struct {
	base   *config.Base
	master *config.Master
	stage  Stage
}

// wanted holds why each piece of work is wanted.
type wanted map[key]string

func (w wanted) add(k key, why string) {
	if _, ok := w[k]; !ok {
		w[k] = why
	}
}

func (w wanted) base(b *config.Base, r Request) error {
	if r.Stage != Rootfs && r.Stage != All {
		return fmt.Errorf("%q is a base: it has no %s of its own; ask for one of its masters, or for stage rootfs", b.Name, r.Stage)
	}
	w.add(key{base: b, stage: Rootfs}, "asked for")
	if r.Children {
		w.children(b.Masters, r.Stage, b.Name)
	}
	return nil
}

func (w wanted) master(cfg *config.Config, m *config.Master, r Request) error {
	if r.Stage == Conffs && m.Conffs == "" {
		return fmt.Errorf("%s: master %q has no conffs: there are no hosts to build; add `conffs:` with ansible's host pattern", cfg.Place(m.Pos), m.Name)
	}
	for _, stage := range stagesOf(m, r.Stage) {
		w.add(key{m.Base, m, stage}, "asked for")
	}
	w.parents(m, r.Stage, r.Parents)
	if r.Children {
		w.children(m.Masters, r.Stage, m.Name)
	}
	return nil
}

// parents adds n levels above: the parent of conffs and of an initramfs is
// their rootfs, that of a rootfs the rootfs it inherits from; with all, the
// ancestors get all too.
func (w wanted) parents(m *config.Master, stage Stage, n int) {
	if n == 0 {
		return
	}
	why := "parent of " + m.Name
	switch {
	case stage == Conffs || stage == Initramfs:
		w.add(key{m.Base, m, Rootfs}, "parent of its "+string(stage))
		w.parents(m, Rootfs, n-1)
	case m.Parent == nil:
		w.add(key{base: m.Base, stage: Rootfs}, why)
	default:
		for _, s := range stagesOf(m.Parent, stage) {
			w.add(key{m.Base, m.Parent, s}, why)
		}
		w.parents(m.Parent, stage, n-1)
	}
}

func (w wanted) children(masters []*config.Master, stage Stage, parent string) {
	for _, m := range masters {
		for _, s := range stagesOf(m, stage) {
			w.add(key{m.Base, m, s}, "child of "+parent)
		}
		w.children(m.Masters, stage, m.Name)
	}
}

// stagesOf spells all out; a master without hosts has no conffs.
func stagesOf(m *config.Master, stage Stage) []Stage {
	switch {
	case stage == All && m.Conffs == "":
		return []Stage{Rootfs, Initramfs}
	case stage == All:
		return []Stage{Rootfs, Initramfs, Conffs}
	case stage == Conffs && m.Conffs == "":
		return nil
	}
	return []Stage{stage}
}

// plan orders what is wanted along the tree.
func (w wanted) plan(cfg *config.Config) *Plan {
	p := &Plan{}
	for _, b := range cfg.Bases {
		var made *Task
		if why, ok := w[key{base: b, stage: Rootfs}]; ok {
			made = p.add(&Task{Kind: MakeBase, Base: b, Why: why})
		}
		w.planMasters(p, b.Masters, made, cfg.Configuration.NeverUpload)
	}
	return p
}

func (w wanted) planMasters(p *Plan, masters []*config.Master, parent *Task, neverUpload []string) {
	for _, m := range masters {
		rootfs := w.planMaster(p, m, parent, slices.Contains(neverUpload, m.Name))
		w.planMasters(p, m.Masters, rootfs, neverUpload)
	}
}

// planMaster returns the task that the master's children wait for.
func (w wanted) planMaster(p *Plan, m *config.Master, parent *Task, private bool) *Task {
	var rootfs *Task
	var parts []*Task
	if why, ok := w[key{m.Base, m, Rootfs}]; ok {
		rootfs = p.add(&Task{Kind: MakeRootfs, Base: m.Base, Master: m, Why: why}, parent)
		if !private {
			parts = append(parts, p.add(&Task{Kind: MakeSquashfs, Base: m.Base, Master: m, Why: why}, rootfs))
		}
	}
	if why, ok := w[key{m.Base, m, Initramfs}]; ok {
		parts = append(parts, p.add(&Task{Kind: MakeKernel, Base: m.Base, Master: m, Why: why}, rootfs))
	}
	if why, ok := w[key{m.Base, m, Conffs}]; ok {
		parts = append(parts, p.add(&Task{Kind: MakeConffs, Base: m.Base, Master: m, Why: why}, rootfs))
	}
	if len(parts) > 0 && !private {
		p.add(&Task{Kind: MakeRelease, Base: m.Base, Master: m, Why: "publishes what is built"}, parts...)
	}
	return rootfs
}

func (p *Plan) add(t *Task, needs ...*Task) *Task {
	for _, n := range needs {
		if n != nil {
			t.Needs = append(t.Needs, n)
		}
	}
	p.Tasks = append(p.Tasks, t)
	return t
}

// Text is the plan as a person reads it, a line for each task.
func (p *Plan) Text() string {
	var b strings.Builder
	for _, t := range p.Tasks {
		var after []string
		for _, n := range t.Needs {
			after = append(after, n.String())
		}
		fmt.Fprintf(&b, "%-9s %-30s %s", t.Kind, t.Subject(), t.Why)
		if len(after) > 0 {
			fmt.Fprintf(&b, "; after %s", strings.Join(after, ", "))
		}
		if t.Verdict != nil {
			fmt.Fprintf(&b, " (%s)", t.Verdict.Sentence())
		}
		b.WriteByte('\n')
	}
	for _, notice := range p.Notices {
		fmt.Fprintf(&b, "note: %s\n", notice)
	}
	return b.String()
}

// WholeTree are the requests for everything that a configuration has of a
// stage.
func WholeTree(cfg *config.Config, stage Stage) []Request {
	var requests []Request
	if stage == Rootfs || stage == All {
		for _, b := range cfg.Bases {
			requests = append(requests, Request{Names: []string{b.Key}, Stage: stage})
		}
	}
	for _, m := range cfg.Masters() {
		if stage != Conffs || m.Conffs != "" {
			requests = append(requests, Request{Names: []string{m.Name}, Stage: stage})
		}
	}
	return requests
}
