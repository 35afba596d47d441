package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"vauban/drift"
	"vauban/pipeline/provenance"
	"vauban/progress"
)

func newHistory(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "history IMAGE[:TAG|@DIGEST] | DIRECTORY | FILE | ssh:[USER@]HOST",
		Short: "Show which stages made an image, and which packages each changed",
		Long: `Show which stages made an image, and which packages each changed.

For an image that is not here, the manifest in the registry is read; only
when that has no history, the image is pulled. An argument that begins with / or . is a path:
that of a root filesystem, such as / in a booted machine, or of its imginfo. A
machine is asked by ssh, which must know it.`,
		Example: `  vauban history master-12-web
  vauban history / --output json
  vauban history ssh:root@web01`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.history(cmd, args[0])
			if err != nil {
				return fmt.Errorf("reading the history of %q: %w", args[0], err)
			}
			if format.value == "json" {
				return printJSON(cmd.OutOrStdout(), h)
			}
			return printHistory(cmd.OutOrStdout(), h)
		},
	}
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// history reads the files of a directory without any configuration: a booted
// machine has none.
func (a *app) history(cmd *cobra.Command, subject string) (h provenance.History, err error) {
	if strings.HasPrefix(subject, "/") || strings.HasPrefix(subject, ".") {
		if info, err := os.Stat(subject); err == nil && !info.IsDir() {
			subject = filepath.Dir(subject)
		}
		return provenance.HistoryIn(cmd.Context(), subject)
	}
	if strings.HasPrefix(subject, "ssh:") {
		return bootedHistory(cmd.Context(), subject)
	}
	err = a.withEngine(cmd, func(ctx context.Context, s *session) error {
		if told, ok, err := s.remoteHistory(ctx, subject); err != nil || ok {
			h = told
			return err
		}
		img, err := s.image(ctx, subject)
		if err != nil {
			return err
		}
		h, err = provenance.HistoryOf(ctx, s.engine, img)
		return err
	})
	return h, err
}

// bootedHistory asks a machine.
func bootedHistory(ctx context.Context, subject string) (provenance.History, error) {
	source, err := drift.ParseSource(subject)
	if err != nil {
		return provenance.History{}, usage(fmt.Errorf("vauban: %w", err))
	}
	imginfo, err := source.Read(ctx, "/imginfo")
	if err != nil {
		return provenance.History{}, err
	}
	packages, err := source.Read(ctx, "/packages")
	if err != nil {
		return provenance.History{}, err
	}
	return provenance.ParseHistory(imginfo, packages)
}

// remoteHistory is that of an image which is not here, from its manifest in the
// registry: no layer is fetched for it.
func (s *session) remoteHistory(ctx context.Context, subject string) (h provenance.History, ok bool, err error) {
	name, tag := s.reference(subject)
	if _, err := s.engine.Image(ctx, name+":"+tag); err == nil || strings.Contains(tag, ":") {
		return h, false, nil
	}
	annotations, err := s.images.Registry.Annotations(ctx, name, tag)
	if errdefs.IsNotFound(err) {
		return h, false, nil
	} else if err != nil {
		return h, false, err
	}
	return provenance.HistoryTold(annotations)
}

// printHistory prints the stages with the packages that each changed. The two
// lists are of the same stages, in the same order, unless a stage wrote to
// them itself.
func printHistory(out io.Writer, h provenance.History) error {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(progress.PrintableLine(fmt.Sprintf(format, args...)) + "\n")
	}
	line("base %s of %s", h.ISO, h.Date)
	for i, s := range h.Stages {
		b.WriteString("\n")
		line("%s %s as %s on %s", s.Date, s.Playbook, s.Hostname, s.Source)
		if s.GitSHA1 != "" {
			line("    commit %s of branch %s", s.GitSHA1, s.GitBranch)
		}
		if i < len(h.Packages) && h.Packages[i].Playbook == s.Playbook && h.Packages[i].Hostname == s.Hostname {
			for change := range strings.Lines(h.Packages[i].Packages) {
				line("    %s", strings.TrimSuffix(change, "\n"))
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
