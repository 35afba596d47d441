package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newPull(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "pull IMAGE[:TAG|@DIGEST]",
		Short:   "Pull an image from the registry into containerd",
		Example: `  vauban pull master-12-web:2026-11-20T211348Z`,
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withEngine(cmd, func(ctx context.Context, s *session) error {
				name, tag := s.reference(args[0])
				img, err := s.images.Pull(ctx, name, tag)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], img.Digest())
				return err
			})
		},
	}
}
