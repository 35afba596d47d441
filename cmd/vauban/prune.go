package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/pipeline/prune"
	"vauban/release"
)

func newPrune(a *app) *cobra.Command {
	o := prune.PruneOptions{}
	cmd := &cobra.Command{
		Use:   "prune [MASTER...] --keep N",
		Short: "Remove old releases, images, logs and caches",
		Long: `Remove old releases of the masters that are named, and kernels that no release
uses. Without a name, remove releases of all masters, images here and in the
embedded registry, logs and caches.

The release that is served stays, however old. A machine that boots a removed
release fails: keep those that boot entries name. Of an image stay the newest
timestamps, latest and other tags, and all that a remaining release was made
of. While a run is at work, only releases are removed.`,
		Example: `  vauban prune --keep 5 --dry-run   # show what would be removed
  vauban prune --keep 5
  vauban prune master-12-web --keep 2`,
		Args: arguments(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, names []string) error {
			if o.Keep < 1 || o.Logs < 1 {
				return usage(errors.New("vauban: --keep takes the number of releases and images that stay, 1 or more; so does --logs"))
			}
			if len(names) > 0 {
				return a.pruneReleases(cmd.Context(), cmd.OutOrStdout(), o, names)
			}
			return a.withEngine(cmd, func(ctx context.Context, s *session) error {
				return s.prune(ctx, cmd.OutOrStdout(), o)
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Keep, "keep", 0, "how many of the newest releases of a master, and timestamps of an image, to keep")
	flags.IntVar(&o.Logs, "logs", 100, "how many runs to keep logs of")
	o.Unused = 30 * 24 * time.Hour
	flags.Var((*ageFlag)(&o.Unused), "unused", "remove caches unused for this long, e.g. 12h, 30d or 2w")
	flags.BoolVar(&o.DryRun, "dry-run", false, "print what would be removed, and remove nothing")
	return cmd
}

// ageFlag is a time that may be so many days or weeks.
type ageFlag time.Duration

func (f *ageFlag) String() string {
	if days := time.Duration(*f) / (24 * time.Hour); days > 0 && time.Duration(*f)%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return time.Duration(*f).String()
}

func (f *ageFlag) Type() string { return "age" }

// Set takes 0 too: whatever no run uses.
func (f *ageFlag) Set(text string) error {
	if text == "0" || text == "0s" {
		*f = 0
		return nil
	}
	age, err := config.ParseAge(text)
	*f = ageFlag(age)
	return err
}

// removing prints a line for each thing.
func removing(out io.Writer, dryRun bool) func(kind, name string) {
	verb := "removed"
	if dryRun {
		verb = "would remove"
	}
	return func(kind, name string) { fmt.Fprintf(out, "%s %s %s\n", verb, kind, name) }
}

// pruneReleases needs no containerd and no root.
func (a *app) pruneReleases(ctx context.Context, out io.Writer, o prune.PruneOptions, names []string) error {
	s, err := a.session()
	if err != nil {
		return err
	}
	options := release.PruneOptions{Keep: o.Keep, DryRun: o.DryRun}
	for _, name := range names {
		master, err := s.master(name)
		if err != nil {
			return err
		}
		options.Masters = append(options.Masters, master.Name)
	}
	pruned, err := release.Prune(ctx, s.tree(), options, s.treeOptions())
	removed := removing(out, o.DryRun)
	for _, name := range pruned.Releases {
		removed("release", name)
	}
	for _, name := range pruned.Pool {
		removed("kernel", name)
	}
	return err
}

func (s *session) prune(ctx context.Context, out io.Writer, o prune.PruneOptions) error {
	o.Engine, o.Registry = s.engine, s.images.Registry
	o.StateDir, o.UploadDir, o.Tree = s.stateDir, s.tree(), s.treeOptions()
	for _, m := range s.cfg.Masters() {
		o.Masters = append(o.Masters, m.Name)
	}
	o.Removed = removing(out, o.DryRun)
	pruned, err := prune.Prune(ctx, o)
	if pruned.Busy {
		fmt.Fprintln(out, "a run is at work: images, logs and caches stay; prune again when it has ended")
	}
	if !s.images.Registry.Embedded() {
		fmt.Fprintf(out, "the registry %s has retention rules of its own: nothing was removed there\n", s.images.Registry.Address())
	}
	if err == nil && !o.DryRun {
		fmt.Fprintf(out, "freed %.1f MiB\n", float64(pruned.Freed)/(1<<20))
	}
	return err
}
