package main

import (
	"fmt"

	"vauban/release"

	"github.com/spf13/cobra"
)

func newRollback(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback MASTER [RELEASE]",
		Short: "Serve a release that was published before; by default the one before the current",
		Long: `Serve a release that was published before; by default the one before the current.

This moves "current". A machine whose boot entry names a release, as
the entries of vauban entry do, still boots that one: print its entry again.

The rollback is recorded in the published tree. Until vauban deploy ends it,
builds of the master publish candidates: releases that are whole and not served.`,
		Args: arguments(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTree(args[0], func(s *session, master string) error {
				chosen := ""
				if len(args) > 1 {
					chosen = args[1]
				}
				p, err := release.Rollback(cmd.Context(), s.tree(), master, chosen, s.treeOptions())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s is served, and builds publish candidates until vauban deploy %s; entries of vauban entry name a release: print them again\n", master, p.Timestamp, master)
				return err
			})
		},
	}
}
