package main

import (
	"errors"

	"github.com/spf13/cobra"

	"vauban/boot"
)

func newEntry(a *app) *cobra.Command {
	var host, release, url string
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "entry MASTER --url URL",
		Short: "Print how a boot loader starts a machine from a published release",
		Long: `Print how a boot loader starts a machine from a published release.

The entry names the release itself and the digest of its files, never what is
current: write it anew after each release.`,
		Example: `  vauban entry master-12-web --host web01 --url http://pxe.example.com/vauban >web01.ipxe`,
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if url == "" {
				return usage(errors.New("vauban: --url is missing: where machines find the published tree, e.g. http://server/pxe"))
			}
			return a.withTree(args[0], func(s *session, master string) error {
				r, err := boot.OpenRelease(s.tree(), master, release)
				if err != nil {
					return err
				}
				entry, err := boot.NewEntry(r, host, url)
				if err != nil {
					return err
				}
				if format.value == "grub" {
					return entry.WriteGRUB(cmd.OutOrStdout())
				}
				return entry.WriteIPXE(cmd.OutOrStdout())
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&host, "host", "", "the host whose conffs are laid over the rootfs")
	flags.StringVar(&release, "release", "", "the release to boot (default: the current one)")
	flags.StringVar(&url, "url", "", "where machines find the published tree")
	format = formatFlag{value: "ipxe", all: []string{"ipxe", "grub"}}
	flags.Var(&format, "format", "the boot loader: ipxe or grub")
	return cmd
}
