package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vauban/boot"
	"vauban/internal/gateway"
)

func newBoot(a *app) *cobra.Command {
	var o boot.Options
	cmd := &cobra.Command{
		Use:   "boot MASTER",
		Short: "Boot a published release in a virtual machine",
		Long: `Boot a published release in a virtual machine.

QEMU is given the release's kernel and initramfs; the initramfs fetches the
rest over HTTP, as a machine of the fleet would. QEMU and the server are in a
network namespace of their own: no other program of this machine reaches the
published files, and the guest reaches this machine's own addresses only as far as
"network_allow" in config.yml permits. It needs root and slirp4netns.
With --pxe the machine's network card loads them too, with iPXE, from the entry
that "vauban entry" writes: as the machines of a fleet boot.
With --wait the command returns 0 only when the machine reports that it is up.`,
		Example: `  vauban boot master-12-web --host web01 --wait
  vauban boot master-12-web --host web01 --wait --pxe --firmware /usr/share/ovmf/OVMF.fd
  vauban boot master-12-base                     # the console is on the terminal`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTree(args[0], func(s *session, master string) error {
				o.Tree, o.Master, o.Log, o.Allowed = s.tree(), master, s.log, s.kernelParameters(master)
				for _, d := range s.cfg.Destinations(s.settings) {
					o.Reach = append(o.Reach, gateway.Destination(d))
				}
				result, err := boot.Boot(cmd.Context(), o)
				if err != nil || !o.Wait {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is up after %s: %s%s; serial log: %s\n", subject(o), result.Elapsed.Round(time.Second),
					result.Report.State, failedUnits(result.Report.Failed), result.SerialLog)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Host, "host", "", "the host whose conffs are laid over the rootfs")
	flags.StringVar(&o.Release, "release", "", "the release to boot (default: the current one)")
	flags.BoolVar(&o.Wait, "wait", false, "wait until the machine reports that it is up, and stop it then")
	flags.DurationVar(&o.Timeout, "timeout", 0, "how long to wait (default: 5m, and 20m without KVM)")
	flags.BoolVar(&o.PXE, "pxe", false, "let the network card load kernel and initramfs, with iPXE (Debian's package ipxe-qemu)")
	flags.StringVar(&o.Firmware, "firmware", "", "a file with the machine's firmware, for UEFI /usr/share/ovmf/OVMF.fd of Debian's package ovmf (default: QEMU's BIOS)")
	flags.IntVar(&o.Memory, "memory", 0, "the machine's memory in MiB (default: fitting the release)")
	flags.IntVar(&o.CPUs, "cpus", 2, "the machine's processors")
	flags.StringVar(&o.SerialLog, "serial-log", "", "where the console goes (default: a new file in the temporary directory)")
	flags.StringArrayVar(&o.Extra, "append", nil, "an additional kernel parameter; may be repeated")
	return cmd
}

func subject(o boot.Options) string {
	if o.Host == "" {
		return o.Master
	}
	return o.Host + " of " + o.Master
}

func failedUnits(failed []string) string {
	if len(failed) == 0 {
		return ""
	}
	return " (failed: " + strings.Join(failed, ", ") + ")"
}
