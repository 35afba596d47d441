package ansible

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vauban/ansible/repository"
	"vauban/internal/command"
	"vauban/layers"
)

// How the hosts of a master share a run: config.yml's ansible_run.
const (
	// Independent gives each host what it would get if it were alone, in
	// one process for all.
	Independent = "independent"
	// Together lets plays look at their neighbours.
	Together = "together"
	// Alone starts one process for each host.
	Alone = "alone"
)

// PlaybookOptions say what is applied, and how.
type PlaybookOptions struct {
	Revision repository.Revision
	// Path of the playbook, relative to the repository's RootDir.
	Path string
	// Master is whose stage it is.
	Master string
	// Groups of the inventory that the master joins when the inventory
	// lacks it.
	Groups []string
	// Conffs tells a run over hosts from one over a master.
	Conffs bool
	// Mode is Independent, Together or Alone. Empty: Independent.
	Mode string
	// Hosts are all hosts of the master. Used under Together, where the
	// result of one depends on all.
	Hosts []string
	// Facts hold whatever ansible gathers, by name with or without
	// "ansible_".
	Facts map[string]any
	// Init is what runs as process 1, which the result depends on. Empty:
	// vauban's own.
	Init string
	// Timeout bounds a run. 0: none.
	Timeout time.Duration
	// Strict fails a host of which something was passed over.
	Strict bool
	// Passed is told, at the end of a run, what was passed over. Nil: nobody.
	Passed func([]Passed)
	// Notice is told what somebody should look at; host is "" where it is
	// about all. Nil: nobody.
	Notice func(host, text string)
	// Output opens the log of a host, with diffs, which may hold secrets.
	// Nil: none.
	Output func(host string) (io.WriteCloser, error)
	// Log gets what ansible and the hooks print themselves. Nil: none.
	Log io.Writer
	// Progress gets one line for each task, in one Write. Nil: none.
	Progress io.Writer
}

// Playbook is a playbook at one revision. Run may be called several times, at
// once too.
type Playbook struct {
	controller *Controller
	options    PlaybookOptions
	mu         sync.Mutex // of Log and Progress
	reads      readSet
}

var _ layers.Step = (*Playbook)(nil)

// Playbook makes a step of a playbook.
func (r *Controller) Playbook(o PlaybookOptions) *Playbook {
	o.Mode = cmp.Or(o.Mode, Independent)
	return &Playbook{controller: r, options: o}
}

// Run applies the playbook to the containers. The error is a
// [*layers.PartialError] whenever the playbook did run and failed on hosts.
func (p *Playbook) Run(ctx context.Context, containers []*layers.Container) error {
	targets := make([]target, len(containers))
	for i, c := range containers {
		targets[i] = newTarget(c)
	}
	passed, err := p.run(ctx, targets)
	for _, c := range containers {
		if err := labelPassed(c.ImageConfig(), c.Name(), passed); err != nil {
			return err
		}
	}
	return err
}

func (p *Playbook) run(ctx context.Context, targets []target) (passed []Passed, err error) {
	if p.options.Timeout > 0 {
		late := fmt.Errorf("playbook %q took longer than %s: raise --timeout", p.options.Path, p.options.Timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.options.Timeout, late)
		defer cancel()
	}
	r := p.controller
	// Digested before they are read: what changes meanwhile counts as changed.
	if _, err := r.outsideInventories(ctx, p.options.Revision.Commit); err != nil {
		return nil, err
	}
	w, err := r.workspace(ctx, p.options.Revision.Commit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	h := p.hook(targets)
	if err := r.runHook(ctx, w, "HOOK_PRE_ANSIBLE", r.options.HookPre, h, p.log()); err != nil {
		return nil, err
	}
	result, err := p.apply(ctx, w.Copy, targets)
	if err != nil {
		return nil, err
	}
	if p.options.Passed != nil {
		p.options.Passed(result.passed)
	}
	if p.options.Strict {
		result.refusePassed()
	}
	if len(result.failed) > 0 {
		return result.passed, &layers.PartialError{Failed: result.failed}
	}
	return result.passed, r.runHook(ctx, w, "HOOK_POST_ANSIBLE", r.options.HookPost, h, p.log())
}

// outcome is what became of the hosts of a run.
type outcome struct {
	failed map[string]error
	passed []Passed
}

func (o *outcome) add(other outcome) {
	maps.Copy(o.failed, other.failed)
	o.passed = append(o.passed, other.passed...)
}

func (p *Playbook) hook(targets []target) hook {
	h := hook{master: p.options.Master, stage: p.options.Path}
	for i, t := range targets {
		if i > 0 {
			h.hosts += ","
		}
		h.hosts += t.name
	}
	return h
}

// apply runs ansible once, or once for each host.
func (p *Playbook) apply(ctx context.Context, c *repository.Copy, targets []target) (outcome, error) {
	r := p.controller
	installed, err := r.Repository.Install(ctx, c, r.sibling("ansible-galaxy"), r.environ(c))
	if err != nil {
		return outcome{}, err
	}
	s, err := r.readSettings(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	if p.options.Mode != Alone || !p.options.Conffs {
		return p.ansible(ctx, c, s, installed, targets)
	}
	all := outcome{failed: map[string]error{}}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for _, t := range targets {
		group.Go(func() error {
			one, err := p.ansible(ctx, c, s, installed, []target{t})
			mu.Lock()
			defer mu.Unlock()
			all.add(one)
			return err
		})
	}
	return all, group.Wait()
}

// report gives the notices that the plugins left beside the description of a run.
func (p *Playbook) report(c *repository.Copy, description string) error {
	return errors.Join(p.reportFacts(description+".facts"), p.reportAlone(c, description+".alone"), p.reportPasswords(description+".passwords"))
}

// ansible runs ansible-playbook on the targets.
func (p *Playbook) ansible(ctx context.Context, c *repository.Copy, s settings, g repository.Installed, targets []target) (outcome, error) {
	files, err := p.writeFiles(c, targets, p.usesMitogen(s))
	if err != nil {
		return outcome{}, err
	}
	record, err := p.newRecord(c, targets)
	if err != nil {
		return outcome{}, err
	}
	r, said := p.controller, &command.Tail{Limit: 8192}
	err = process{
		argv:   p.argv(c, s, files),
		dir:    c.Root,
		env:    append(r.playbookEnviron(c, s, g, files.description), p.strategyEnviron(s)...),
		output: io.MultiWriter(said, p.log()),
		events: record.read,
	}.run(ctx)
	if ctx.Err() == nil {
		record.finishJobs(ctx, targets, files.description+".jobs")
	}
	if ctx.Err() != nil {
		return outcome{}, errors.Join(context.Cause(ctx), record.close())
	}
	if err := p.report(c, files.description); err != nil {
		return outcome{}, errors.Join(err, record.close())
	}
	if err := errors.Join(record.close(), record.readNeighbours(files.description+".neighbours")); err != nil {
		return outcome{}, err
	}
	if err := p.noteReads(c, files.description+".reads", targets, record.neighbours); err != nil {
		return outcome{}, err
	}
	failed := record.failed()
	if !record.finished || (err != nil && len(failed) == 0) {
		err = errors.Join(record.noMitogen, cmp.Or(err, errNoEvents), errorText(c.Relative(said.String())))
		return outcome{}, fmt.Errorf("applying playbook %q: %w", p.options.Path, err)
	}
	return outcome{failed, record.passed.list()}, nil
}

// errNoEvents: ansible ended well but did not say so to us.
var errNoEvents = errors.New("ansible did not load vauban's plugins")

func (p *Playbook) argv(c *repository.Copy, s settings, files runFiles) []string {
	r := p.controller
	args := r.arguments(c)
	argv := []string{"setpriv", "--bounding-set", boundingSet, "--", r.options.Program,
		"--diff", "-v", "--forks", strconv.Itoa(r.forks(s))}
	argv = append(argv, args...)
	argv = append(argv, r.inventories(c, args, s)...)
	return append(argv, "-i", files.description, "-e", "@"+files.variables, "--limit", "@"+files.limit,
		filepath.FromSlash(p.options.Path))
}

func (p *Playbook) log() io.Writer {
	if p.options.Log == nil {
		return io.Discard
	}
	return locked{&p.mu, p.options.Log}
}

// locked lets several ansible processes share a writer.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
