package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vauban/ansible"
	"vauban/config"
	"vauban/pipeline/bases"
	"vauban/pipeline/freshness"
	"vauban/pipeline/gate"
	"vauban/pipeline/plan"
)

func newStatus(a *app) *cobra.Command {
	var format formatFlag
	var branch string
	exitCode := false
	cmd := &cobra.Command{
		Use:   "status [MASTER...]",
		Short: "Show which bases, masters and hosts are stale, and which input changed",
		Long: `Show which bases, masters and hosts are stale, and which input changed.

It compares config.yml, the settings and the playbooks' repository with what
images were made from, as the registry has it recorded. Nothing is built, and
with a registry of your own it needs no root: give it a state directory that
you can write to. docs/freshness.md says what counts as a change.

Hosts of the inventory that no master has are listed too.`,
		Example: `  vauban status
  vauban status master-12-web --output json`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.withJudge(cmd.Context(), branch, func(ctx context.Context, j *freshness.Judge) error {
				wanted, err := selected(j.Config, names)
				if err != nil {
					return err
				}
				status, err := j.Status(ctx, wanted)
				if err != nil {
					return err
				}
				if format.value == "json" {
					err = printJSON(cmd.OutOrStdout(), status)
				} else {
					err = printStatus(cmd.OutOrStdout(), status)
				}
				if err == nil && exitCode && !status.Fresh() {
					return errDiffers
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&branch, "branch", "", "branch of the playbooks where a stage or master names none")
	exitCodeFlag(cmd, &exitCode, "something is stale")
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// selected selects bases and masters by their names; none selects all.
func selected(cfg *config.Config, names []string) (func(*config.Base, *config.Master) bool, error) {
	if len(names) == 0 {
		return nil, nil
	}
	bases, masters := map[*config.Base]bool{}, map[*config.Master]bool{}
	for _, name := range names {
		base, master, err := cfg.Find(name)
		if err != nil {
			return nil, usage(err)
		}
		if master != nil {
			masters[master] = true
		} else {
			bases[base] = true
		}
	}
	return func(b *config.Base, m *config.Master) bool { return m != nil && masters[m] || b != nil && bases[b] }, nil
}

// withJudge opens what it takes to judge: no engine, and no container is
// started.
func (a *app) withJudge(ctx context.Context, branch string, fn func(context.Context, *freshness.Judge) error) error {
	log, err := a.log()
	if err != nil {
		return err
	}
	cfg, settings, err := a.settings(log)
	if err != nil {
		return err
	}
	if branch != "" {
		if err := config.CheckBranch(branch); err != nil {
			return usage(fmt.Errorf("vauban: %w", err))
		}
	}
	return a.judging(ctx, log, cfg, settings, branch, fn)
}

func (a *app) judging(ctx context.Context, log *slog.Logger, cfg *config.Config, s config.Settings, branch string, fn func(context.Context, *freshness.Judge) error) (err error) {
	in, err := a.sessionOf(log, cfg, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var controller *ansible.Controller
	if plan.NeedsRepository(cfg, s) {
		if controller, err = in.openAnsible(ctx); err != nil {
			return err
		}
	}
	if err := in.openRegistry(ctx); err != nil {
		return err
	}
	stateDir := in.stateDir
	identities, err := in.vault()
	if err != nil {
		return err
	}
	withheld, err := gate.Files(ctx, gate.Sources{Config: cfg, Settings: s, Ansible: controller, StateDir: stateDir, UploadDir: s.PublishedTree(stateDir)}, branch)
	if err != nil {
		return err
	}
	return fn(ctx, &freshness.Judge{
		Config: cfg, Records: freshness.NewRecords(in.registry, stateDir, log), Ansible: controller, Branch: branch,
		Identities: identities != nil, UploadDir: s.PublishedTree(stateDir), Withheld: withheld, Now: time.Now(),
		Upstream: bases.NewUpstream(cfg, s, stateDir, log),
	})
}

// publishedLines say what is special about what is served of a master: a state,
// and what it means.
func publishedLines(m freshness.MasterStatus) (lines [][2]string) {
	p := m.Published
	if p == nil {
		return nil
	}
	if p.RolledBack != nil {
		from := ""
		if p.RolledBack.From != "" {
			from = " from " + p.RolledBack.From
		}
		lines = append(lines, [2]string{"rolled back", fmt.Sprintf("to %s%s; builds publish candidates until vauban deploy %s", p.Release, from, m.Name)})
	}
	for _, release := range p.Candidates {
		lines = append(lines, [2]string{"candidate", release + " is not served"})
	}
	if len(p.Missing) > 0 {
		lines = append(lines, [2]string{"incomplete", p.Release + " has no conffs of " + strings.Join(p.Missing, " ")})
	}
	return lines
}

// printStatus prints a table; of hosts, it counts them and lists the stale
// ones.
func printStatus(out io.Writer, s freshness.Status) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(kind, name, state, why string) {
		fmt.Fprintln(table, strings.TrimRight(strings.Join([]string{kind, name, state, why}, "\t"), "\t"))
	}
	word := func(fresh bool) string {
		if fresh {
			return "fresh"
		}
		return "stale"
	}
	for _, b := range s.Bases {
		line("base", b.Name, word(b.Fresh), b.String())
	}
	for _, m := range s.Masters {
		line("master", m.Name, word(m.Fresh), m.String())
		if m.Fresh && !m.Release.Fresh() {
			line("release", m.Name, "stale", m.Release.String())
		}
		for _, text := range publishedLines(m) {
			line("release", m.Name, text[0], text[1])
		}
		if len(m.Hosts) > 0 {
			line("hosts", m.Name, fmt.Sprintf("%d of %d fresh", m.FreshHosts(), len(m.Hosts)), "")
		}
		for _, h := range m.Hosts {
			if !h.Fresh {
				line("host", h.Name, "stale", h.String())
			}
		}
		for _, name := range m.Gone {
			line("host", name, "gone", "the inventory no longer has it")
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(s.Uncovered) > 0 {
		_, err := fmt.Fprintf(out, "hosts of no master: %s\n", strings.Join(s.Uncovered, " "))
		return err
	}
	return nil
}
