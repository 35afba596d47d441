package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"vauban/boot"
	"vauban/internal/durable"
	"vauban/internal/text"
)

// entryFlags are what `entry` asks for.
type entryFlags struct {
	host, release, url, dir string
	extra                   []string
	format                  formatFlag
}

func newEntry(a *app) *cobra.Command {
	f := &entryFlags{format: formatFlag{value: "ipxe", all: []string{"ipxe", "grub"}}}
	cmd := &cobra.Command{
		Use:   "entry MASTER --url URL",
		Short: "Print the boot entry of a machine for a published release",
		Long: `Print the boot entry of a machine for a published release, or write
one for each host of the release.

An entry names one release and the digest of its files, not
"current": write it again after each release, and after a rollback. It has the kernel
parameters that the master's playbooks put into GRUB's settings, if vauban's list or
kernel_parameters in config.yml has them; --append adds any other.`,
		Example: `  vauban entry master-12-web --host web01 --url http://pxe.example.com/vauban >web01.ipxe
  vauban entry master-12-web --url http://pxe.example.com/vauban --dir /srv/pxe/entries`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.url == "" {
				return usage(errors.New("vauban: --url is missing: where machines find the published tree, e.g. http://server/pxe"))
			}
			if f.host != "" && f.dir != "" {
				return usage(errors.New("vauban: --dir writes the entries of all hosts: leave out --host"))
			}
			return a.withTree(args[0], func(s *session, master string) error {
				r, err := boot.OpenRelease(s.tree(), master, f.release)
				if err != nil {
					return err
				}
				r.Allowed = s.kernelParameters(master)
				_, refused := r.Extras()
				for _, err := range refused {
					s.log.Info(fmt.Sprintf("left out of the entry: %v", err))
				}
				if f.dir != "" {
					return f.writeAll(cmd.OutOrStdout(), r)
				}
				return f.write(cmd.OutOrStdout(), r, f.host)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.host, "host", "", "the host whose conffs are laid over the rootfs")
	flags.StringVar(&f.release, "release", "", "the release to boot (default: the current one)")
	flags.StringVar(&f.url, "url", "", "where machines find the published tree")
	flags.StringVar(&f.dir, "dir", "", "write files instead, HOST.ipxe or HOST.cfg, for all hosts of the release (for a release without hosts, one of the master's name)")
	flags.Var(&f.format, "format", "the boot loader: ipxe or grub")
	flags.StringArrayVar(&f.extra, "append", nil, "an additional kernel parameter; may be repeated")
	return cmd
}

// writeAll writes a file for each host. Each is replaced as a whole: a machine
// that boots meanwhile gets the old one or the new one.
func (f *entryFlags) writeAll(out io.Writer, r boot.Release) error {
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of the entries: %w", err)
	}
	suffix := map[string]string{"ipxe": ".ipxe", "grub": ".cfg"}[f.format.value]
	files := map[string]string{} // by host
	for _, host := range r.Hosts {
		files[host] = host + suffix
	}
	if len(files) == 0 {
		files[""] = filepath.Base(r.Master) + suffix
	}
	for host, name := range files {
		err := durable.Write(filepath.Join(f.dir, name), 0o644, func(file io.Writer) error { return f.write(file, r, host) })
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s: %s of release %s\n", f.dir, text.Count(len(files), "entry"), r.Name)
	return err
}

func (f *entryFlags) write(w io.Writer, r boot.Release, host string) error {
	entry, err := boot.NewEntry(r, host, f.url)
	if err != nil {
		return err
	}
	entry.CommandLine.Extra = slices.Concat(entry.CommandLine.Extra, f.extra)
	if f.format.value == "grub" {
		return entry.WriteGRUB(w)
	}
	return entry.WriteIPXE(w)
}
