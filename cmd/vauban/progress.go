package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vauban/internal/text"
	"vauban/progress"
)

// reportFlags say how a run is shown.
type reportFlags struct{ progress, summary formatFlag }

func (f *reportFlags) add(cmd *cobra.Command) {
	f.progress = formatFlag{value: "auto", all: []string{"auto", "live", "plain", "json", "quiet"}}
	cmd.Flags().Var(&f.progress, "progress", "how the run is shown on stderr: "+text.Or(f.progress.all)+"; auto is live on a terminal, else plain")
	outputFlag(cmd, &f.summary, "text", "json")
}

// reporter shows a run on standard error as the flags say. Close it, and then
// print the summary.
func (f *reportFlags) reporter(stderr io.Writer) (*progress.Reporter, error) {
	c, _ := stderr.(*console)
	if c != nil {
		stderr = c.file
	}
	renderer, err := f.renderer(stderr, os.Getenv)
	if err != nil {
		return nil, usage(fmt.Errorf("vauban: %w", err))
	}
	r := progress.New(renderer)
	if c != nil {
		c.lend(r.Writer(slog.LevelWarn))
	}
	return r, nil
}

// release gives standard error back. Machines that read objects get them to
// the end.
func (f *reportFlags) release(stderr io.Writer) {
	c, ok := stderr.(*console)
	switch {
	case !ok:
	case f.progress.value == "json":
		c.lend(progress.New(progress.JSON{W: c.file}).Writer(slog.LevelError))
	default:
		c.lend(nil)
	}
}

func (f *reportFlags) renderer(stderr io.Writer, env func(string) string) (progress.Renderer, error) {
	terminal, _ := stderr.(*os.File)
	if terminal != nil && !term.IsTerminal(int(terminal.Fd())) {
		terminal = nil
	}
	folding := progress.FoldingOf(env)
	how := f.progress.value
	if how == "auto" {
		how = "plain"
		if terminal != nil && env("TERM") != "dumb" && folding == progress.NoFolding {
			how = "live"
		}
	}
	switch {
	case how == "live" && terminal == nil:
		return nil, fmt.Errorf("--progress live needs a terminal on stderr: use plain")
	case how == "live":
		return progress.NewLive(terminal, env("NO_COLOR") == ""), nil
	case how == "json":
		return progress.JSON{W: stderr}, nil
	case how == "quiet":
		return progress.Quiet{W: stderr}, nil
	case folding != progress.NoFolding:
		return progress.NewSections(stderr, folding), nil
	}
	return progress.Plain{W: stderr}, nil
}

// print writes the summary of a run, if there was one.
func (f *reportFlags) print(out io.Writer, s *progress.Summary) error {
	switch {
	case s == nil:
		return nil
	case f.summary.value == "json":
		return printJSON(out, s)
	}
	return s.Print(out)
}
