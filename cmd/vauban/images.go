package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
)

// imageLine is one image in a list.
type imageLine struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Set    time.Time     `json:"set"` // when the name was given to this image
}

func newImages(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "images",
		Short: "List the images in containerd",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withEngine(cmd, func(ctx context.Context, s *session) error {
				all, err := s.list(ctx)
				if err != nil {
					return err
				}
				if format.value == "json" {
					return printJSON(cmd.OutOrStdout(), all)
				}
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "IMAGE\tDIGEST\tSET")
				for _, i := range all {
					fmt.Fprintf(table, "%s\t%s\t%s\n", i.Name, i.Digest, i.Set.Format(time.DateTime))
				}
				return table.Flush()
			})
		},
	}
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// list is sorted by name.
func (s *session) list(ctx context.Context) ([]imageLine, error) {
	records, err := s.engine.Images(ctx)
	if err != nil {
		return nil, err
	}
	all := []imageLine{}
	for _, r := range records {
		all = append(all, imageLine{Name: r.Name, Digest: r.Target.Digest, Set: r.UpdatedAt.UTC()})
	}
	slices.SortFunc(all, func(a, b imageLine) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}
