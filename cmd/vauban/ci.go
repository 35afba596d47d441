package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/release"
)

func newCI(a *app) *cobra.Command {
	f := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "ci",
		Short: "Build what environment variables ask for",
		Long: `Build what environment variables ask for:

  name           the master or base; several are separated by spaces
  stage          rootfs, conffs, initramfs or all; without it CI_JOB_STAGE when
                 that is one of the four words, else all
  build_parents  how many ancestors to build too: a number, yes or -1, no
                 (build_parent is read when it is not set)
  branch         branch of the playbooks where a stage or master names none
  conffs         narrows the hosts, as --limit
  if_stale       true or yes: build only what is out of date; without
                 name, of the whole tree
  debug          true or yes: run nothing and print, for a shell, the lines of
                 vauban stage that do the same`,
		Example: `  name=master-12-web stage=all build_parents=yes vauban ci`,
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.valid(cmd); err != nil {
				return err
			}
			names, debug, err := f.readCI(os.Getenv)
			if err != nil {
				return usage(fmt.Errorf("vauban ci: %w", err))
			}
			if debug {
				return a.debugCI(cmd.Context(), cmd.OutOrStdout(), f, names)
			}
			return a.build(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f, names)
		},
	}
	f.running(cmd)
	f.keeping(cmd)
	return cmd
}

// readCI reads the variables that stand for flags of build.
func (f *buildFlags) readCI(get func(string) string) (names []string, debug bool, err error) {
	f.stage, f.branch, f.limit = get("stage"), get("branch"), get("conffs")
	if f.ifStale, err = yesOrNo(get, "if_stale"); err != nil {
		return nil, false, err
	}
	names = strings.Fields(get("name"))
	if len(names) == 0 && !f.ifStale {
		return nil, false, errors.New("`name` is not set: name=MASTER vauban ci, or if_stale=yes for the whole tree")
	}
	if f.stage == "" {
		f.stage = string(plan.All)
		if word := get("CI_JOB_STAGE"); slices.Contains(stageWords, word) {
			f.stage = word
		}
	}
	if _, err := plan.ParseStage(f.stage); err != nil {
		return nil, false, fmt.Errorf("`stage`: %w", err)
	}
	f.parents = cmp.Or(get("build_parents"), get("build_parent"), "no")
	if _, err := parseParents(f.parents); err != nil {
		return nil, false, fmt.Errorf("`build_parents`: %w", err)
	}
	debug, err = yesOrNo(get, "debug")
	return names, debug, err
}

// yesOrNo reads a variable that is no when it is not set.
func yesOrNo(get func(string) string, name string) (bool, error) {
	switch value := get(name); value {
	case "true", "yes":
		return true, nil
	case "", "false", "no":
		return false, nil
	default:
		return false, fmt.Errorf("`%s` is %q: use true, yes, false or no", name, value)
	}
}

// debugCI prints the lines of `vauban stage` that the variables stand for.
func (a *app) debugCI(ctx context.Context, out io.Writer, f *buildFlags, names []string) error {
	log, err := a.log()
	if err != nil {
		return err
	}
	cfg, settings, err := a.settings(log)
	if err != nil {
		return err
	}
	plan, err := a.planned(cfg, f, names)
	if err == nil && f.ifStale {
		plan, err = a.stale(ctx, log, cfg, settings, f, plan)
	}
	if err != nil {
		return err
	}
	stateDir, err := a.state(settings)
	if err != nil {
		return err
	}
	lines := stageLines{cfg: cfg, flags: f, current: func(m *config.Master) string {
		// As a run finds it: of one that cannot be read, it is told then.
		if current, err := release.Current(settings.PublishedTree(stateDir), m.Name); err == nil {
			return m.Image() + "@" + current.Rootfs.Image.String()
		}
		return m.Image()
	}, published: func(m *config.Master) bool {
		_, err := release.Current(settings.PublishedTree(stateDir), m.Name)
		return !errors.Is(err, fs.ErrNotExist)
	}}
	if a.stateDir != "" {
		lines.global = []string{"--state", stateDir}
	}
	for line := range strings.Lines(plan.Text()) {
		fmt.Fprint(out, "# ", line)
	}
	if dir, err := filepath.Abs(cfg.Dir); err != nil {
		return err
	} else if here, err := os.Getwd(); err != nil || here != dir {
		fmt.Fprintln(out, shellLine([]string{"cd", dir})+" || exit")
	}
	for _, line := range lines.of(plan) {
		if _, err := fmt.Fprintln(out, shellLine(line)); err != nil {
			return err
		}
	}
	return nil
}
