package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vauban/ansible"
	"vauban/config"
	"vauban/pipeline"
	"vauban/pipeline/freshness"
	"vauban/pipeline/identities"
	"vauban/pipeline/plan"
	"vauban/progress"
	"vauban/vault"
)

// buildFlags are what `build` and `plan` ask for.
type buildFlags struct {
	stage, parents    string
	children, check   bool
	ifStale, fresh    bool
	branch, limit, on string
	batch, jobs       int
	keepGoing, strict bool
	noPush, noPublish bool
	commitVault       bool
	removeHosts       bool
	noIdentities      bool
	timeout           time.Duration
	given             map[string]string // see pipeline.Options
	report            reportFlags
}

func newBuild(a *app) *cobra.Command {
	f := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "build [MASTER...]",
		Short: "Build masters, their hosts' conffs and their kernels, and publish them",
		Example: `  vauban build master-12-web                        # all of it, on the parent that exists
  vauban build master-12-web --build-parents yes    # and its ancestors
  vauban build master-12-web --stage conffs --limit web01
  vauban build master-12-web --check                # what would run, and why
  vauban build --if-stale                           # of the whole tree, what has changed`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := errors.Join(f.named(names), f.valid(cmd)); err != nil {
				return err
			}
			if f.check {
				if _, err := a.session(); err != nil { // what a run reads must be right
					return err
				}
				return a.plan(cmd.Context(), cmd.OutOrStdout(), f, names, f.report.summary.value)
			}
			return a.build(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f, names)
		},
	}
	f.planning(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.check, "check", false, "print the plan without running it")
	flags.StringVar(&f.on, "on", "", "build conffs on the master image with this tag, e.g. latest (default: the current release's)")
	f.running(cmd)
	f.keeping(cmd)
	return cmd
}

// keeping adds the flags that say what becomes of the results.
func (f *buildFlags) keeping(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.noPush, "no-push", false, "push nothing to the registry")
	cmd.Flags().BoolVar(&f.noPublish, "no-publish", false, "publish nothing")
}

// running adds the flags that say how a plan is run.
func (f *buildFlags) running(cmd *cobra.Command) {
	f.report.add(cmd)
	flags := cmd.Flags()
	flags.IntVar(&f.batch, "batch", 0, "how many hosts are built at a time (default: 20, fewer if memory is short)")
	flags.IntVar(&f.jobs, "jobs", 0, "how many tasks run in parallel (default: the number of cores, fewer if memory is short)")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "publish even if some hosts fail (they keep their previous conffs); the exit code is still 1")
	strictFlag(cmd, &f.strict)
	flags.BoolVar(&f.removeHosts, "remove-hosts", false, "remove hosts from the release that the inventory no longer has (default: report them, and remove them in the next run)")
	flags.BoolVar(&f.noIdentities, "no-identities", false, "build hosts without the SSH keys and machine-ids of a vault, including hosts that have them now")
	flags.BoolVar(&f.commitVault, "commit-vault", false, "commit and push the host identities that were created")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Hour, "time limit of a stage, and of the import of a base")
}

// valid refuses numbers that running cannot take.
func (f *buildFlags) valid(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case given("batch") && f.batch < 1, given("jobs") && f.jobs < 1:
		return usage(errors.New("vauban: --batch and --jobs take 1 or more"))
	case given("timeout") && f.timeout <= 0:
		return usage(fmt.Errorf("vauban: --timeout %s: a time limit is positive, as 90m", f.timeout))
	}
	return nil
}

// strictFlag adds --strict.
func strictFlag(cmd *cobra.Command, strict *bool) {
	cmd.Flags().BoolVar(strict, "strict", false, "treat tasks that need a running machine as errors (default: skip and list them)")
}

// planning adds the flags that shape the plan.
func (f *buildFlags) planning(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.stage, "stage", "all", "what to build: rootfs, conffs, initramfs or all")
	flags.StringVar(&f.parents, "build-parents", "no", "how many ancestors to build too: a number, yes or -1 for all, no")
	flags.BoolVar(&f.children, "build-children", false, "build all descendants of the masters too")
	flags.BoolVar(&f.ifStale, "if-stale", false, "build only what is out of date (see vauban status); without names, in the whole tree")
	flags.StringVar(&f.branch, "branch", "", "branch of the playbooks where a stage or master names none")
	flags.StringVar(&f.limit, "limit", "", "narrow the hosts of conffs; the others keep what they have")
}

// named refuses a build of nothing.
func (f *buildFlags) named(names []string) error {
	switch {
	case len(names) == 0 && !f.ifStale:
		return usage(errors.New("vauban: name a master or a base to build; --if-stale needs none, and takes the whole tree"))
	case f.ifStale && f.on != "":
		return usage(errors.New("vauban: --if-stale finds out itself which image conffs are cut on: leave out --on"))
	}
	return nil
}

func newPlan(a *app) *cobra.Command {
	f := &buildFlags{}
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "plan [MASTER...]",
		Short: "Print what a build would do, in order, and why",
		Long: `Print what a build would do, in order, and why. Only config.yml is read, unless
--fresh, --if-stale or --limit asks what the playbooks or the registry know.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := f.named(names); err != nil {
				return err
			}
			return a.plan(cmd.Context(), cmd.OutOrStdout(), f, names, format.value)
		},
	}
	f.planning(cmd)
	cmd.Flags().BoolVar(&f.fresh, "fresh", false, "show for each task whether its result is stale, and why")
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// request reads the flags.
func (f *buildFlags) request(names []string) (plan.Request, error) {
	stage, err := plan.ParseStage(f.stage)
	if err != nil {
		return plan.Request{}, err
	}
	parents, err := parseParents(f.parents)
	if err != nil {
		return plan.Request{}, fmt.Errorf("--build-parents %w", err)
	}
	if err := f.checkBranch(); err != nil {
		return plan.Request{}, err
	}
	return plan.Request{Names: names, Stage: stage, Parents: parents, Children: f.children}, nil
}

func (f *buildFlags) checkBranch() error {
	if f.branch == "" {
		return nil
	}
	return config.CheckBranch(f.branch)
}

// parseParents reads a number of ancestors, or yes or no.
func parseParents(s string) (int, error) {
	switch s {
	case "no", "":
		return 0, nil
	case "yes":
		return plan.AllParents, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < plan.AllParents || strings.HasPrefix(s, "+") {
		return 0, fmt.Errorf("%q is not a number of ancestors: use 0 or more, yes or -1 for all, no for none", s)
	}
	return n, nil
}

func (a *app) planned(cfg *config.Config, f *buildFlags, names []string) (*plan.Plan, error) {
	request, err := f.request(names)
	if err != nil {
		return nil, usage(fmt.Errorf("vauban: %w", err))
	}
	if len(names) > 0 {
		plan, err := pipeline.NewPlan(cfg, request)
		return plan, usage(err)
	}
	plan, err := pipeline.NewPlan(cfg, plan.WholeTree(cfg, request.Stage)...)
	if err == nil {
		plan.Notices = nil // nobody asked for hosts of each
	}
	return plan, usage(err)
}

// stale is the part of a plan that is to be looked at again when it is run.
func (a *app) stale(ctx context.Context, log *slog.Logger, cfg *config.Config, s config.Settings, f *buildFlags, plan *plan.Plan) (*plan.Plan, error) {
	err := a.judging(ctx, log, cfg, s, f.branch, func(ctx context.Context, j *freshness.Judge) (err error) {
		j.Publishing, j.Push = !f.noPublish, !f.noPush && !f.check
		plan, err = j.Stale(ctx, plan)
		return err
	})
	return plan, err
}

// plan prints the plan as text or json.
func (a *app) plan(ctx context.Context, out io.Writer, f *buildFlags, names []string, format string) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	plan, err := a.planned(cfg, f, names)
	if err != nil {
		return err
	}
	if f.ifStale || f.fresh || f.limit != "" {
		log, err := a.log()
		if err != nil {
			return err
		}
		cfg, settings, err := a.settings(log)
		if err != nil {
			return err
		}
		if plan, err = a.planned(cfg, f, names); err != nil {
			return err
		}
		if f.limit != "" {
			err = a.judging(ctx, log, cfg, settings, f.branch, func(ctx context.Context, j *freshness.Judge) error {
				return j.CheckLimit(ctx, plan, f.limit)
			})
			if err != nil {
				return err
			}
		}
		if f.ifStale {
			plan, err = a.stale(ctx, log, cfg, settings, f, plan)
		} else if f.fresh {
			err = a.judging(ctx, log, cfg, settings, f.branch, func(ctx context.Context, j *freshness.Judge) error {
				j.Publishing = true
				return j.Plan(ctx, plan)
			})
		}
		if err != nil {
			return err
		}
	}
	if format == "json" {
		return printJSON(out, plannedTasks(plan))
	}
	_, err = io.WriteString(out, plan.Text())
	return err
}

// plannedTask is a task of a plan, for programs.
type plannedTask struct {
	Kind    plan.Kind `json:"kind"`
	Subject string    `json:"subject"`
	Why     string    `json:"why"`
	After   []string  `json:"after,omitempty"` // "KIND SUBJECT" of what it needs
	Fresh   *bool     `json:"fresh,omitempty"` // with --fresh
	Changed []string  `json:"changed,omitempty"`
}

func plannedTasks(p *plan.Plan) []plannedTask {
	all := []plannedTask{}
	for _, t := range p.Tasks {
		task := plannedTask{Kind: t.Kind, Subject: t.Subject(), Why: t.Why}
		for _, need := range t.Needs {
			task.After = append(task.After, need.String())
		}
		if t.Verdict != nil {
			fresh := t.Verdict.Fresh()
			task.Fresh, task.Changed = &fresh, t.Verdict.Why
		}
		all = append(all, task)
	}
	return all
}

// build runs a plan and prints what became of it.
func (a *app) build(ctx context.Context, out, errOut io.Writer, f *buildFlags, names []string) error {
	return a.run(ctx, out, errOut, f, func(log *slog.Logger) (*config.Config, config.Settings, *plan.Plan, error) {
		cfg, settings, err := a.settings(log)
		if err != nil {
			return nil, settings, nil, err
		}
		plan, err := a.planned(cfg, f, names)
		if err == nil && f.ifStale {
			plan, err = a.stale(ctx, log, cfg, settings, f, plan)
		}
		return cfg, settings, plan, err
	})
}

// run runs the plan that prepare makes.
func (a *app) run(ctx context.Context, out, errOut io.Writer, f *buildFlags, prepare func(*slog.Logger) (*config.Config, config.Settings, *plan.Plan, error)) (err error) {
	reporter, err := f.report.reporter(errOut)
	if err != nil {
		return err
	}
	var summary *progress.Summary
	defer func() {
		err = errors.Join(err, reporter.Close())
		f.report.release(errOut)
		err = errors.Join(err, f.report.print(out, summary))
	}()
	log, err := a.logTo(reporter)
	if err != nil {
		return err
	}
	cfg, settings, plan, err := prepare(log)
	if err != nil {
		return err
	}
	if f.ifStale && len(plan.Tasks) == 0 {
		if f.report.summary.value == "json" {
			return printJSON(out, progress.Summary{})
		}
		_, err := fmt.Fprintln(out, "nothing to do")
		return err
	}
	return a.withRunner(ctx, log, cfg, settings, reporter, f, plan, func(r *pipeline.Runner) error {
		defer func() { summary = r.Summary() }()
		_, err := r.Run(ctx)
		return err
	})
}

// withRunner opens what a run needs and closes it.
func (a *app) withRunner(ctx context.Context, log *slog.Logger, cfg *config.Config, s config.Settings, reporter *progress.Reporter, f *buildFlags, plan *plan.Plan, fn func(*pipeline.Runner) error) (err error) {
	in, err := a.sessionOf(log, cfg, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	warnOfUnused(log, s)
	var controller *ansible.Controller
	if plan.NeedsRepository(cfg, s) {
		if controller, err = in.openAnsible(ctx); err != nil {
			return err
		}
	}
	if err := in.openEngine(ctx); err != nil {
		return err
	}
	if err := in.openRegistry(ctx); err != nil {
		return err
	}
	ids, err := in.identities(f)
	if err != nil {
		return err
	}
	prepare := pipeline.New
	if f.ifStale {
		prepare = pipeline.NewIfStale
	}
	r, err := prepare(ctx, pipeline.Options{
		Config: cfg, Settings: s, Engine: in.engine, Registry: in.registry, Ansible: controller, Identities: ids,
		StateDir: in.stateDir, LogLinks: filepath.Join(os.TempDir(), "vauban-logs"), Version: version, Branch: f.branch, Limit: f.limit, On: f.on, Given: f.given,
		Batch: f.batch, Jobs: f.jobs, KeepGoing: f.keepGoing, Strict: f.strict, RemoveHosts: f.removeHosts, NoPush: f.noPush, NoPublish: f.noPublish,
		Timeout: f.timeout, Progress: reporter, Log: log,
	}, plan)
	if err != nil {
		return err
	}
	return fn(r)
}

// identities are those that a build gives its hosts.
func (s *session) identities(f *buildFlags) (*identities.Identities, error) {
	if f.noIdentities {
		s.log.Info("hosts are built without the identities that they may have, and make their SSH keys at each boot")
		return identities.None(), nil
	}
	store, err := s.vault()
	if err != nil {
		return nil, err
	}
	switch {
	case store == nil:
		s.log.Info("no vault is set up: hosts make their SSH keys at each boot", "settings", "VAULTED_SSHD_KEYS_KEY or VAULT_ENGINE")
		return identities.Closed(vault.NewLocal(s.cfg.VaultDir(), "").List), nil
	case s.settings.VaultEngine == "vault":
	case f.commitVault:
		return identities.Committed(store, committingVault(s.log, s.cfg, s.settings)), nil
	case os.Getenv("CI") != "":
		return identities.Committed(store, func(_ context.Context, created bool) error {
			if created {
				s.log.Warn("the SSH keys that this job made for hosts are gone with its checkout: vauban ci --commit-vault pushes them")
			}
			return nil
		}), nil
	}
	return identities.In(store), nil
}

// warnOfUnused names the settings that are read and have no effect yet.
func warnOfUnused(log *slog.Logger, s config.Settings) {
	for _, setting := range []struct {
		name string
		set  bool
	}{
		{"UPLOAD_HOSTS_LIST", len(s.UploadHostsList) > 0},
		{"UPLOAD_CI_SSH_USERNAME", s.UploadCISSHUsername != ""},
		{"UPLOAD_CI_SSH_KEY", s.UploadCISSHKey.Reveal() != ""},
	} {
		if setting.set {
			log.Warn("this version does not use a setting yet", "setting", setting.name)
		}
	}
}
