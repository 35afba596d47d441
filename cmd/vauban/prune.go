package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"vauban/export"
)

func newPrune(a *app) *cobra.Command {
	keep := 0
	cmd := &cobra.Command{
		Use:   "prune MASTER --keep N",
		Short: "Remove old releases of a master, and kernels that no release uses",
		Long: `Remove old releases of a master, and kernels that no release uses.

The release that is served stays, however old. A machine that boots a removed
release fails: keep those that boot entries name.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep < 1 {
				return usage(errors.New("vauban: --keep takes the number of releases that stay, 1 or more"))
			}
			return a.withTree(args[0], func(s *session, master string) error {
				pruned, err := export.Prune(cmd.Context(), s.tree(), master, keep, s.treeOptions())
				for _, name := range append(pruned.Releases, pruned.Pool...) {
					fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", name)
				}
				return err
			})
		},
	}
	cmd.Flags().IntVar(&keep, "keep", 0, "how many of the newest releases stay")
	return cmd
}
