package main

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newImages(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "images",
		Short: "List the images in containerd",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			log, err := a.log()
			if err != nil {
				return err
			}
			_, settings, err := a.settings(log)
			if err != nil {
				return err
			}
			stateDir, err := a.state(settings)
			if err != nil {
				return err
			}
			engine, err := a.engine(ctx, log, settings, stateDir)
			if err != nil {
				return err
			}
			defer engine.Close()
			all, err := engine.Images(ctx)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			var lines []string
			for _, image := range all {
				lines = append(lines, fmt.Sprintf("%s\t%s\t%s", image.Name, image.Target.Digest, image.UpdatedAt.UTC().Format("2006-01-02 15:04:05")))
			}
			slices.Sort(lines)
			fmt.Fprintln(table, "IMAGE\tDIGEST\tSET")
			for _, line := range lines {
				fmt.Fprintln(table, line)
			}
			return table.Flush()
		},
	}
}
