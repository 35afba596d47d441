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
	"strings"
	"time"

	"vauban/ansible"
	"vauban/config"
	"vauban/layers"
	"vauban/layers/dockerfile"
	"vauban/pipeline/freshness"
	"vauban/pipeline/gate"
	"vauban/pipeline/identities"
	"vauban/pipeline/plan"
	"vauban/progress"
	"vauban/registry"
	"vauban/scan"
)

// Options configure a [Runner]. Engine, Registry and Ansible are open and
// stay the caller's to close.
type Options struct {
	Config   *config.Config
	Settings config.Settings
	Engine   *layers.Engine
	Registry *registry.Registry
	Ansible  *ansible.Controller
	// Identities are the hosts' SSH keys and machine-ids.
	Identities *identities.Identities
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
	// Progress is told what happens. Nil: not called.
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
	logs logs                      // kept
	seen map[*config.Master]string // releases that were served at the start

	images     *imageCache
	selected   selections // nil before Run
	claims     claims
	collected  *progress.Collector
	gate       *gate.Gate            // empty before Run
	withheld   []dockerfile.Withheld // files that no build context has
	records    *freshness.Records
	newDecider func(*Runner) decider
	decide     decider // nil before Run
}

// A decider says which parts of a plan have to be done.
type decider interface {
	// due says whether a task has to be done, now that those that it needs are;
	// why is for the user.
	due(ctx context.Context, t *plan.Task, given given) (due bool, why string, err error)
	// hosts are those of a master's hosts that have to be built.
	hosts(ctx context.Context, m *config.Master, names []string) ([]string, error)
	// image is the product of a base or a master that does not have to be built.
	image(ctx context.Context, name string) (Image, error)
}

// New prepares a run that does all of a plan.
func New(ctx context.Context, o Options, p *plan.Plan) (*Runner, error) {
	return newRunner(ctx, o, p, func(*Runner) decider { return everything{} })
}

// NewIfStale prepares a run that does what is out of date of a plan, as the
// records say.
func NewIfStale(ctx context.Context, o Options, p *plan.Plan) (*Runner, error) {
	return newRunner(ctx, o, p, func(r *Runner) decider { return &ifStale{r.newJudge(), p} })
}

func newRunner(ctx context.Context, o Options, p *plan.Plan, newDecider func(*Runner) decider) (*Runner, error) {
	r := &Runner{Options: o, plan: p, newDecider: newDecider, images: newImageCache(), claims: newClaims(), gate: gate.Empty(o.Engine)}
	r.Identities.OnNotice(func(host, text string) { r.job(nil).notice(host, "%s", text) })
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
		r.logs = logs{dir: filepath.Join(all, r.Tag), redactor: func() *scan.Redactor { return r.gate.Redactor() }}
		err := os.Mkdir(r.logs.dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("making the run's logs: %w", err)
		}
		return nil
	}
}

// Logs is the folder of the run's logs, one for each stage and host.
func (r *Runner) Logs() string { return r.logs.dir }

// Run does what is planned. The outcomes are in the plan's order; the error
// says that something failed.
func (r *Runner) Run(ctx context.Context) (outcomes []Outcome, err error) {
	if r.selected, err = r.check(ctx); err != nil {
		return nil, err
	}
	if err := r.openGate(ctx); err != nil {
		return nil, err
	}
	if err := r.checkDockerfiles(ctx); err != nil {
		return nil, err
	}
	r.decide = r.newDecider(r)
	end, err := r.begin()
	if err != nil {
		return nil, err
	}
	defer func() { err = end(ctx, err) }()
	for _, notice := range r.plan.Notices {
		r.Log.Info(notice)
	}
	for name, reference := range r.Given {
		img, err := r.job(nil).find().Reference(ctx, reference)
		if err != nil {
			return nil, err
		}
		r.images.set(name, img)
	}
	outcomes = plan.Execute(ctx, r.plan, r.Jobs, func(ctx context.Context, t *plan.Task, given given) (Product, string, error) {
		return r.job(t).run(ctx, given)
	}, func(o Outcome) { r.job(o.Task).ended(ctx, o) })
	if err := ctx.Err(); err != nil {
		return outcomes, context.Cause(ctx)
	}
	return outcomes, failed(outcomes)
}

// openGate learns the secrets of the run before anything is made.
func (r *Runner) openGate(ctx context.Context) error {
	found, err := gate.Learn(ctx, gate.Sources{Config: r.Config, Settings: r.Settings, Ansible: r.Ansible, Registry: r.Registry,
		StateDir: r.StateDir, UploadDir: r.uploadDir()}, gate.PlaybookBranches(plannedStages(r.Config, r.plan), r.Branch)...)
	if err != nil {
		return fmt.Errorf("learning which secrets must stay out of images: %w", err)
	}
	if len(found.Short) > 0 {
		r.Log.Warn("secrets of fewer than 4 bytes are not looked for in images: set longer ones", "names", strings.Join(found.Short, " "))
	}
	r.gate, r.withheld = gate.Open(r.Engine, found.Needles), found.Files
	return nil
}

// plannedStages are those that a plan applies.
func plannedStages(cfg *config.Config, p *plan.Plan) (stages []config.Stage) {
	for _, t := range p.Tasks {
		stages = append(stages, t.Stages(cfg)...)
	}
	return stages
}

// failed is the error of a run of which something failed.
func failed(outcomes []Outcome) error {
	hosts := 0
	for _, o := range outcomes {
		if o.Err != nil {
			return errors.New("some of the work failed")
		}
		if conffs, ok := o.Product.(Conffs); ok {
			hosts += conffs.Failed()
		}
	}
	if hosts > 0 {
		return errors.New("some hosts failed; the rest is done")
	}
	return nil
}
