package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vauban/build"
)

func newCI(a *app) *cobra.Command {
	commitVault := false
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
  debug          true or yes: print what would be run and run nothing`,
		Example: `  name=master-12-web stage=all build_parents=yes vauban ci`,
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, names, debug, err := readCI(os.Getenv)
			if err != nil {
				return usage(fmt.Errorf("vauban ci: %w", err))
			}
			if debug {
				return a.debugCI(cmd.OutOrStdout(), f, names)
			}
			f.commitVault = commitVault
			return a.build(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f, names)
		},
	}
	cmd.Flags().BoolVar(&commitVault, "commit-vault", false, "commit and push the host identities that were created")
	return cmd
}

// readCI turns the variables into the flags of build.
func readCI(get func(string) string) (f *buildFlags, names []string, debug bool, err error) {
	names = strings.Fields(get("name"))
	if len(names) == 0 {
		return nil, nil, false, errors.New("`name` is not set: name=MASTER vauban ci")
	}
	f = &buildFlags{stage: get("stage"), branch: get("branch"), limit: get("conffs")}
	if f.stage == "" {
		f.stage = string(build.All)
		if word := get("CI_JOB_STAGE"); slices.Contains([]string{"rootfs", "conffs", "initramfs", "all"}, word) {
			f.stage = word
		}
	}
	if _, err := build.ParseStage(f.stage); err != nil {
		return nil, nil, false, fmt.Errorf("`stage`: %w", err)
	}
	f.parents = cmp.Or(get("build_parents"), get("build_parent"), "no")
	if _, err := parseParents(f.parents); err != nil {
		return nil, nil, false, fmt.Errorf("`build_parents`: %w", err)
	}
	switch value := get("debug"); value {
	case "true", "yes":
		debug = true
	case "", "false", "no":
	default:
		return nil, nil, false, fmt.Errorf("`debug` is %q: use true, yes, false or no", value)
	}
	return f, names, debug, nil
}

// debugCI prints the command that the variables stand for, and its plan.
func (a *app) debugCI(out io.Writer, f *buildFlags, names []string) error {
	fmt.Fprint(out, "vauban build")
	for _, name := range names {
		fmt.Fprintf(out, " %s", name)
	}
	fmt.Fprintf(out, " --stage %s --build-parents %s", f.stage, f.parents)
	for _, o := range []struct{ flag, value string }{{"--branch", f.branch}, {"--limit", f.limit}} {
		if o.value != "" {
			fmt.Fprintf(out, " %s %q", o.flag, o.value)
		}
	}
	fmt.Fprintln(out)
	return a.plan(out, f, names, "text")
}
