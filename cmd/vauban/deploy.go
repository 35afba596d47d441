package main

import (
	"fmt"

	"vauban/release"

	"github.com/spf13/cobra"
)

func newDeploy(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "deploy MASTER [RELEASE]",
		Short: "Serve a release and end a rollback; by default the newest candidate",
		Long: `Serve a release and end a rollback; by default the newest candidate, or the
newest release where there is no candidate.

After a rollback, builds of a master publish candidates, which are not served
(vauban releases lists them). This command serves one, and what is built later
is served again as soon as it is published. With the release that is served
already it only ends the rollback. The files of the release are read first: a
damaged one is refused.`,
		Example: `  vauban rollback master-12-web                     # the new release is bad
  vauban build master-12-web                        # publishes a candidate
  vauban deploy master-12-web                       # serves it`,
		Args: arguments(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTree(args[0], func(s *session, master string) error {
				chosen := ""
				if len(args) > 1 {
					chosen = args[1]
				}
				p, err := release.Deploy(cmd.Context(), s.tree(), master, chosen, s.treeOptions())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s is served; entries of vauban entry name a release: print them again\n", master, p.Timestamp)
				return err
			})
		},
	}
}
