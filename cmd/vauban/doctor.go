package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"vauban/ansible"
	"vauban/config"
	"vauban/layers"
	"vauban/layers/daemon"
)

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what is missing on this machine, and how to get it",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.doctor(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

// check is one thing that building needs.
type check struct {
	what string
	need func(ctx context.Context) error
	// cure is what to do when it is missing.
	cure string
	// optional things are told and do not fail the command.
	optional bool
}

func (a *app) doctor(ctx context.Context, out io.Writer) error {
	log, err := a.log()
	if err != nil {
		return err
	}
	settings, err := a.settingsOfMachine(log)
	if err != nil {
		return err
	}
	stateDir, err := a.state(settings)
	if err != nil {
		return err
	}
	missing := 0
	for _, c := range checks(stateDir, settings) {
		switch err := c.need(ctx); {
		case err == nil:
			fmt.Fprintf(out, "ok       %s\n", c.what)
		case c.optional:
			fmt.Fprintf(out, "optional %s: %v: %s\n", c.what, err, c.cure)
		default:
			missing++
			fmt.Fprintf(out, "MISSING  %s: %v: %s\n", c.what, err, c.cure)
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d things are missing", missing)
	}
	return nil
}

// settingsOfMachine are those of config.yml, or without one the environment's.
func (a *app) settingsOfMachine(log *slog.Logger) (config.Settings, error) {
	if _, err := os.Stat(a.configFile); err == nil {
		_, settings, err := a.settings(log)
		return settings, err
	}
	settings, _, err := config.LoadSettings(nil, os.Environ())
	return settings, usage(err)
}

func checks(stateDir string, s config.Settings) []check {
	playbook := cmp.Or(s.AnsiblePlaybook, "ansible-playbook")
	all := []check{
		{what: "root", need: isRoot, cure: "run vauban as root: it mounts filesystems and runs containers"},
		{what: "state directory " + stateDir, need: func(context.Context) error { return stateIsFit(stateDir) }, cure: "choose another with --state or VAUBAN_STATE_DIR"},
		{what: "slirp4netns can be used (/dev/net/tun)", need: exists("/dev/net/tun"), cure: "modprobe tun; in a container, pass --device /dev/net/tun"},
	}
	all = append(all, check{what: "user namespaces and cgroup v2, for init: systemd", optional: true, cure: "only masters that want it cannot be built without",
		need: func(context.Context) error { return layers.CheckUserNamespaces() }})
	for _, p := range []struct {
		program, pkg string
		optional     bool
	}{
		{program: "runc", pkg: "runc"}, {program: "slirp4netns", pkg: "slirp4netns"},
		{program: "nsenter", pkg: "util-linux"}, {program: "setpriv", pkg: "util-linux"},
		{program: "mksquashfs", pkg: "squashfs-tools"}, {program: "git", pkg: "git"},
		{program: playbook, pkg: "ansible-core"},
		{program: "mmdebstrap", pkg: "mmdebstrap"},
		{program: "qemu-system-x86_64", pkg: "qemu-system-x86", optional: true},
		{program: "qemu-img", pkg: "qemu-utils", optional: true}, // for bases on qcow2 images
		{program: "rsync", pkg: "rsync", optional: true},         // for tasks that synchronize
	} {
		all = append(all, check{what: p.program, optional: p.optional, cure: "apt-get install " + p.pkg, need: func(context.Context) error {
			_, err := exec.LookPath(p.program)
			return errors.Unwrap(err)
		}})
	}
	return append(all, check{what: "Mitogen", optional: true, cure: "it is used only where ansible.cfg or config.yml asks for it",
		need: func(ctx context.Context) error { return mitogenIsFit(ctx, playbook) }})
}

// mitogenIsFit looks at the Mitogen that is installed beside ansible, if one is.
func mitogenIsFit(ctx context.Context, program string) error {
	core, mitogen, err := ansible.Versions(ctx, program)
	if err != nil || mitogen == "" {
		return nil // another check tells of a missing ansible
	}
	if trouble := ansible.MitogenTrouble(core, mitogen); trouble != "" {
		return errors.New(trouble)
	}
	return nil
}

func isRoot(context.Context) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("running as user %d", os.Geteuid())
	}
	return nil
}

func stateIsFit(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return daemon.CheckStateDir(dir)
}

func exists(path string) func(context.Context) error {
	return func(context.Context) error {
		_, err := os.Stat(path)
		return err
	}
}
