package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/export"
	"vauban/internal/text"
	"vauban/layers"
	"vauban/pipeline/freshness"
	"vauban/pipeline/identities"
)

// exportFlags are what the exports ask for.
type exportFlags struct {
	out, host, on string
	noIdentities  bool
}

func newExport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write one file of a release from images, without publishing it",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExportRootfs(a), newExportConffs(a))
	return cmd
}

func newExportRootfs(a *app) *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{
		Use:   "rootfs MASTER --out FILE",
		Short: "Write a master's root filesystem as squashfs",
		Long: `Write a master's root filesystem as squashfs, as it is published: with the SSH
keys and the machine-id that the vault keeps for a master without hosts.`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.out == "" || f.out == "-" {
				return usage(errors.New("vauban: --out FILE is missing: a squashfs cannot be written to standard output"))
			}
			return a.withMaster(cmd, args[0], f.on, func(ctx context.Context, s *session, m *config.Master, img layers.Image) error {
				mounted := func(ctx context.Context, fn func(string) error) error { return s.engine.Mount(ctx, img, fn) }
				options, err := freshness.PackingOptions(s.cfg, m, s.log)
				if err != nil {
					return err
				}
				identities, err := s.identitiesOf(ctx, m, "", f.noIdentities)
				if err != nil {
					return err
				}
				if err := identities.ReadMaster(ctx, m); err != nil {
					return err
				}
				options.Files = identities.RootfsFiles(m)
				report, err := export.Rootfs(ctx, f.out, mounted, options)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes\n", report.Path, report.Size)
				return err
			})
		},
	}
	f.add(cmd)
	return cmd
}

func newExportConffs(a *app) *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{
		Use:   "conffs MASTER --host HOST --out FILE",
		Short: "Write what a host's image changes in its master's",
		Long: `Write what a host's image changes in its master's.

These are the host's conffs as they are published, with the SSH keys and the
machine-id that the vault keeps for it.`,
		Example: `  vauban export conffs master-12-web --host web01 -o - | tar -tvz`,
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.out == "" || f.host == "" {
				return usage(errors.New("vauban: --host and --out are both needed; --out - is standard output"))
			}
			return a.withMaster(cmd, args[0], f.on, func(ctx context.Context, s *session, m *config.Master, master layers.Image) error {
				host, err := s.image(ctx, m.HostImage(f.host))
				if err != nil {
					return err
				}
				identities, err := s.identitiesOf(ctx, m, f.host, f.noIdentities)
				if err != nil {
					return err
				}
				if err := identities.Read(ctx, f.host); err != nil {
					return err
				}
				return f.conffs(ctx, s, master, host, identities, unprinted(cmd))
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.host, "host", "", "the host")
	return cmd
}

func (f *exportFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "the file to write; - is standard output, for conffs")
	cmd.Flags().BoolVar(&f.noIdentities, "no-identities", false, "write it without the SSH keys and the machine-id of a vault")
	cmd.Flags().StringVar(&f.on, "on", "", "take the master image with this tag, e.g. latest (default: the current release's)")
}

// withMaster hands fn a master and the image with the tag on; see masterImage.
func (a *app) withMaster(cmd *cobra.Command, name, on string, fn func(context.Context, *session, *config.Master, layers.Image) error) error {
	return a.withEngine(cmd, func(ctx context.Context, s *session) error {
		m, err := s.master(name)
		if err != nil {
			return err
		}
		img, err := s.masterImage(ctx, m, on)
		if err != nil {
			return err
		}
		return fn(ctx, s, m, img)
	})
}

// conffs writes the archive to the file, or to out when that is "-". It is
// whole before any of it is printed: what is too big or may not ship is
// refused first.
func (f *exportFlags) conffs(ctx context.Context, s *session, master, host layers.Image, ids *identities.Identities, out io.Writer) error {
	path := f.out
	if f.out == "-" {
		path = filepath.Join(s.engine.Dir(), "conffs.tgz")
	}
	difference := func(ctx context.Context, w io.Writer) error {
		return s.difference(ctx, master, host, w, ids.Layer(f.host)...)
	}
	report, err := export.Conffs(ctx, path, difference, export.ConffsOptions{MaxSize: s.cfg.Configuration.ConffsMaxSize, Log: s.log})
	if err != nil {
		return err
	}
	if f.out != "-" {
		_, err = fmt.Fprintf(out, "%s: %s, %s, %s, %s\n", report.Path, text.Count(int(report.Size), "byte"), report.Digest,
			text.Count(report.Files, "file"), text.Count(report.Deleted, "deletion"))
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}
