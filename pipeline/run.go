// Package pipeline runs a plan: it makes the images, the root filesystems, the
// kernels and the conffs that a plan asks for, and publishes them.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"vauban/ansible"
	"vauban/config"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
	"vauban/progress"
	"vauban/registry"
	"vauban/vault"
)

// Options configure a [Runner]. Engine, Registry and Ansible are open and
// stay the caller's to close.
type Options struct {
	Config   *config.Config
	Settings config.Settings
	Engine   *layers.Engine
	Registry *registry.Registry
	Ansible  *ansible.Controller
	// Identities keeps the hosts' SSH keys and machine-ids. Nil: hosts make
	// their keys when they boot.
	Identities vault.Store
	// VaultHosts names the hosts that have an identity in a vault which is not
	// open, as Identities is nil. Nil: there is no such vault.
	VaultHosts func(context.Context) ([]string, error)
	// NoIdentities builds hosts without the identities that they have.
	NoIdentities bool
	// CommitIdentities is called before anything is built with identities, and
	// again when the run has created some. Nil: they stay where they are.
	CommitIdentities func(ctx context.Context, created bool) error
	// StateDir holds caches and the run's artifacts.
	StateDir string
	// LogLinks is a folder that gets a link to the run's logs, such as one
	// below /tmp. Empty: there is none.
	LogLinks string
	// Version of this tool, for records.
	Version string
	// Branch replaces the repository's default branch.
	Branch string
	// Limit narrows the hosts of conffs; empty is all of them.
	Limit string
	// On is the tag of the master image that conffs are cut on, when the
	// rootfs is not built in the same run. Empty: the image that the
	// current release names, or latest when there is none.
	On string
	// IfStale does only what would come out otherwise, as the records tell.
	IfStale bool
	// Given are images that stand for a name in this run instead of what
	// the name says: by name, NAME[:TAG] or NAME@DIGEST of each.
	Given map[string]string
	// Batch is how many hosts are built at once. 0: 20, fewer where memory
	// is short.
	Batch int
	// Jobs is how many tasks run at once. 0: the number of cores, fewer
	// where memory is short.
	Jobs int
	// KeepGoing publishes a master although some of its hosts failed.
	KeepGoing bool
	// Strict fails a stage in which a task wants a running machine.
	Strict bool
	// RemoveHosts takes hosts out of releases that the inventory no longer
	// has. Otherwise the run before must have reported them.
	RemoveHosts bool
	// NoPush and NoPublish leave those out.
	NoPush, NoPublish bool
	// Timeout bounds a stage and a host's part of it. 0: two hours.
	Timeout time.Duration
	// Progress is told what happens. Nil: nobody is.
	Progress *progress.Reporter
	Log      *slog.Logger
}

// Runner runs plans. One Runner is one run: one timestamp, one set of logs.
type Runner struct {
	Options
	// Tag is the run's timestamp tag.
	Tag  string
	plan *plan.Plan
	time time.Time
	work string                    // removed at the end
	logs string                    // kept
	seen map[*config.Master]string // releases that were served at the start

	mu     sync.Mutex
	images map[string]layers.Image // by image name, made or looked up in this run
	parts  map[*config.Master]*parts
	// claimed maps hosts to the first master whose conffs they get.
	claimed     map[string]string
	selected    map[*config.Master]freshness.Selection // by check
	hostsFailed atomic.Bool
	collected   *progress.Collector
	gate        *gate             // nil before Run
	withheld    []layers.Withheld // files that no build context has
	identities  *Identities
	records     *freshness.Records
	judge       *freshness.Judge    // nil: everything is done
	did         map[*plan.Task]bool // if judge is set
}

// NewRunner prepares the run of a plan.
func NewRunner(ctx context.Context, o Options, p *plan.Plan) (*Runner, error) {
	r := &Runner{Options: o, plan: p, images: map[string]layers.Image{}, parts: map[*config.Master]*parts{}, claimed: map[string]string{}, selected: map[*config.Master]freshness.Selection{},
		identities: NewIdentities(o.Identities, o.CommitIdentities)}
	r.identities.notice = func(host, text string) { r.notice(ctx, host, "%s", text) }
	own := ownCapacity()
	if r.Batch <= 0 {
		r.Batch = own.batch()
	}
	if r.Jobs <= 0 {
		r.Jobs = own.jobs()
	}
	if r.Timeout <= 0 {
		r.Timeout = 2 * time.Hour
	}
	r.records = freshness.NewRecords(o.Registry, o.StateDir, o.Log)
	if r.IfStale {
		r.judge, r.did = r.newJudge(), map[*plan.Task]bool{}
	}
	if err := r.takeTime(ctx); err != nil {
		return nil, err
	}
	r.work = filepath.Join(o.Engine.Dir(), "work")
	if err := os.MkdirAll(r.work, 0o700); err != nil {
		return nil, fmt.Errorf("making the run's folders: %w", err)
	}
	r.seen = r.served()
	return r, nil
}

// takeTime takes a second that no other run has: on this machine because only
// one can make the folder of its logs, in the registry as far as can be seen.
func (r *Runner) takeTime(ctx context.Context) (err error) {
	all := filepath.Join(r.StateDir, "logs")
	if err := os.MkdirAll(all, 0o700); err != nil {
		return fmt.Errorf("making the folder of logs: %w", err)
	}
	for at := time.Now(); ; at = r.time.Add(time.Second) {
		if r.Tag, err = r.Registry.FreeTimestamp(ctx, at, r.plan.Images()...); err != nil {
			return err
		}
		r.time, _ = registry.ParseTimestamp(r.Tag)
		r.logs = filepath.Join(all, r.Tag)
		err := os.Mkdir(r.logs, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("making the run's logs: %w", err)
		}
		return nil
	}
}

// Logs is the folder of the run's logs, one for each stage and host.
func (r *Runner) Logs() string { return r.logs }

// Run does what is planned. The outcomes are in the plan's order; the error
// tells that something failed.
func (r *Runner) Run(ctx context.Context) (outcomes []plan.Outcome, err error) {
	if err := r.check(ctx, r.plan); err != nil {
		return nil, err
	}
	if err := r.openGate(ctx, r.plan); err != nil {
		return nil, err
	}
	if err := r.checkDockerfiles(ctx, r.plan); err != nil {
		return nil, err
	}
	end, err := r.begin()
	if err != nil {
		return nil, err
	}
	defer func() { err = end(ctx, err) }()
	for _, notice := range r.plan.Notices {
		r.Log.Info(notice)
	}
	for name, reference := range r.Given {
		img, err := r.found(ctx).Reference(ctx, reference)
		if err != nil {
			return nil, err
		}
		r.remember(name, img)
	}
	outcomes = plan.Execute(ctx, r.plan, r.Jobs, func(ctx context.Context, t *plan.Task) (string, error) {
		ctx = withTask(ctx, t)
		r.report(ctx, progress.Event{Type: progress.TaskStarted})
		return r.doIfStale(ctx, t)
	}, func(o plan.Outcome) { r.taskEnded(ctx, o) })
	if err := ctx.Err(); err != nil {
		return outcomes, context.Cause(ctx)
	}
	for _, o := range outcomes {
		if o.Err != nil {
			return outcomes, errors.New("some of the work failed")
		}
	}
	if r.hostsFailed.Load() {
		return outcomes, errors.New("some hosts failed; the rest is done")
	}
	return outcomes, nil
}

func (r *Runner) do(ctx context.Context, t *plan.Task) (string, error) {
	switch t.Kind {
	case plan.MakeBase:
		return r.makeBase(ctx, t.Base)
	case plan.MakeRootfs:
		return r.makeRootfs(ctx, t.Master)
	case plan.MakeConffs:
		return r.makeConffs(ctx, t.Master)
	case plan.MakeKernel:
		return r.makeKernel(ctx, t.Master)
	case plan.MakeSquashfs:
		return r.makeSquashfs(ctx, t.Master)
	case plan.MakeRelease:
		return r.makeRelease(ctx, t.Master)
	}
	return "", fmt.Errorf("nothing makes a %s", t.Kind)
}
