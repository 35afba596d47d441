package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/spf13/cobra"

	"vauban/boot"
)

func newServe(a *app) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the published tree over HTTP until interrupted",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.session()
			if err != nil {
				return err
			}
			if _, err := os.Stat(s.tree()); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("nothing is published yet in %q: build a master first (vauban build MASTER), or set UPLOAD_DIR to the tree", s.tree())
			} else if err != nil {
				return fmt.Errorf("serving the published tree: %w", err)
			}
			var config net.ListenConfig
			listener, err := config.Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("serving the published tree: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "serving %s on http://%s\n", s.tree(), listener.Addr())
			return boot.Serve(cmd.Context(), listener, s.tree(), s.log)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "the address and port; 0.0.0.0:8080 is all interfaces")
	return cmd
}
