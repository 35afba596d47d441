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
	"slices"
	"strconv"
	"strings"
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
	// Conffs: the run is over hosts, not over a master.
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
	// Strict fails a host on which something was skipped.
	Strict bool
	// Passed gets, at the end of a run, what was skipped. Nil: not called.
	Passed func([]Passed)
	// Notice gets what people should look at; host is "" where it is about
	// all. Nil: not called.
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
	c := p.controller
	// Digested before they are read: what changes meanwhile counts as changed.
	if _, err := c.external.digests(ctx, p.options.Revision.Commit); err != nil {
		return nil, err
	}
	w, err := c.workspace(ctx, p.options.Revision.Commit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	why := p.occasion(targets)
	if err := c.hooks.runBefore(ctx, w, why, p.log()); err != nil {
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
	return result.passed, c.hooks.runAfter(ctx, w, why, p.log())
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

func (p *Playbook) occasion(targets []target) occasion {
	var hosts []string
	for _, t := range targets {
		hosts = append(hosts, t.name)
	}
	return occasion{master: p.options.Master, stage: p.options.Path, hosts: strings.Join(hosts, ",")}
}

// isIndependent reports whether hosts are built as if each were alone.
func (p *Playbook) isIndependent() bool { return p.options.Conffs && p.options.Mode != Together }

// apply runs ansible once, or once for each host.
func (p *Playbook) apply(ctx context.Context, wc *repository.Copy, targets []target) (outcome, error) {
	c := p.controller
	installed, err := c.Repository.Install(ctx, wc, c.programs.path("ansible-galaxy"), c.programs.environIn(wc))
	if err != nil {
		return outcome{}, err
	}
	s, err := c.session(ctx, wc)
	if err != nil {
		return outcome{}, err
	}
	if p.options.Mode != Alone || !p.options.Conffs {
		return p.ansible(ctx, s, installed, targets)
	}
	all := outcome{failed: map[string]error{}}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for _, t := range targets {
		group.Go(func() error {
			one, err := p.ansible(ctx, s, installed, []target{t})
			mu.Lock()
			defer mu.Unlock()
			all.add(one)
			return err
		})
	}
	return all, group.Wait()
}

// ansible runs ansible-playbook on the targets.
func (p *Playbook) ansible(ctx context.Context, s *session, installed repository.Installed, targets []target) (outcome, error) {
	how := p.strategy(s.settings)
	files, err := p.writeFiles(s.copy, targets, how.mitogen)
	if err != nil {
		return outcome{}, err
	}
	record, err := p.newRecord(s.copy, targets)
	if err != nil {
		return outcome{}, err
	}
	said := &command.Tail{Limit: 8192}
	err = process{
		argv:   p.argv(s, files),
		dir:    s.copy.Root,
		env:    append(s.playbookEnviron(installed, files.description), how.environ()...),
		output: io.MultiWriter(said, p.log()),
		events: record.read,
	}.run(ctx)
	if ctx.Err() == nil {
		record.finishJobs(ctx, targets, files.description+".jobs")
	}
	if ctx.Err() != nil {
		return outcome{}, errors.Join(context.Cause(ctx), record.close())
	}
	if err := p.notices(s.copy).give(files.description); err != nil {
		return outcome{}, errors.Join(err, record.close())
	}
	if err := errors.Join(record.close(), record.readNeighbours(files.description+".neighbours")); err != nil {
		return outcome{}, err
	}
	if err := p.noteReads(s, files.description+".reads", targets, record.neighbours); err != nil {
		return outcome{}, err
	}
	failed := record.failed()
	if !record.finished || (err != nil && len(failed) == 0) {
		err = errors.Join(record.noMitogen, cmp.Or(err, errNoEvents), errorText(s.copy.Relative(said.String())))
		return outcome{}, fmt.Errorf("applying playbook %q: %w", p.options.Path, err)
	}
	return outcome{failed, record.passed.list()}, nil
}

// errNoEvents: ansible ended well but did not say so to us.
var errNoEvents = errors.New("ansible did not load vauban's plugins")

func (p *Playbook) argv(s *session, files runFiles) []string {
	argv := []string{"setpriv", "--bounding-set", boundingSet, "--", s.programs.playbook,
		"--diff", "-v", "--forks", strconv.Itoa(s.forks(p.controller.options.Forks))}
	argv = slices.Concat(argv, s.arguments, s.inventories())
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
