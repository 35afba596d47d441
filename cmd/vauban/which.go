package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vauban/layers"
	"vauban/pipeline/provenance"
	"vauban/progress"
)

// writer is what wrote a path, for printing.
type writer struct {
	Path    string     `json:"path"`
	Deleted bool       `json:"deleted"`
	Layer   int        `json:"layer"` // from 1, the bottom one
	Digest  string     `json:"digest"`
	Created *time.Time `json:"created,omitempty"`
	By      string     `json:"by"` // as the image's history says
	Images  []string   `json:"images,omitempty"`
	provenance.Made
}

func newWhich(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "which IMAGE[:TAG|@DIGEST] PATH",
		Short: "Show which layer of an image wrote a path: its stage, branch, commit and host",
		Example: `  vauban which master-12-web/web01 /etc/hosts
  vauban which master-12-web /bin/sh`,
		Args: arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withEngine(cmd, func(ctx context.Context, s *session) error {
				img, err := s.image(ctx, args[0])
				if err != nil {
					return err
				}
				o, err := s.engine.Which(ctx, img, args[1])
				if err != nil {
					return err
				}
				w := writerOf(o)
				if format.value == "json" {
					return printJSON(cmd.OutOrStdout(), w)
				}
				return w.print(cmd.OutOrStdout())
			})
		},
	}
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

func writerOf(o layers.Origin) writer {
	return writer{Path: "/" + o.Path, Deleted: o.Deleted, Layer: o.Layer, Digest: o.Digest.String(),
		Created: o.History.Created, By: o.History.CreatedBy, Images: o.Images, Made: provenance.MadeBy(o.Labels)}
}

func (w writer) print(out io.Writer) error {
	verb := "written"
	if w.Deleted {
		verb = "deleted"
	}
	if _, err := fmt.Fprintln(out, progress.PrintableLine(fmt.Sprintf("%s was %s in layer %d by %s", w.Path, verb, w.Layer, w.By))); err != nil {
		return err
	}
	for _, line := range []struct{ name, value string }{
		{"master", w.Master}, {"host", w.Host}, {"stage", w.Stage}, {"branch", w.Branch}, {"commit", w.Commit},
		{"images", strings.Join(w.Images, " ")}, {"layer", w.Digest},
	} {
		if line.value != "" {
			fmt.Fprintf(out, "  %-7s %s\n", line.name, progress.PrintableLine(line.value))
		}
	}
	return nil
}
