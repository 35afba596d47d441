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
	"strings"

	"github.com/spf13/cobra"

	"vauban/ansible"
	"vauban/config"
	"vauban/doctor"
	"vauban/internal/damage"
	"vauban/internal/remedy"
	"vauban/internal/text"
	"vauban/layers"
	"vauban/layers/daemon"
)

func newDoctor(a *app) *cobra.Command {
	var format formatFlag
	var repair bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Report what is missing on this machine, and how to install it",
		Long: `Report what is missing on this machine, and how to install it.

With --state DIR or --repair, everything that the state directory keeps is read
and compared with its digests: containerd's databases, images, the embedded
registry, kernels, downloads, records, the mirror of the playbooks; and the
published releases. No run may be active meanwhile. --repair removes what is
damaged and can be made again; releases and the vault are never changed.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			reads := repair || cmd.Flags().Changed("state")
			return a.doctor(cmd.Context(), cmd.OutOrStdout(), format.value, reads, repair)
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "remove what is damaged in the state directory and can be made again")
	outputFlag(cmd, &format, "text", "json")
	return cmd
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

// finding is what came of a check.
type finding struct {
	What  string `json:"what"`
	State string `json:"state"` // ok, optional (and not there), missing, damaged, repaired
	Why   string `json:"why,omitempty"`
	Cure  string `json:"cure,omitempty"`
}

// doctor looks at the machine, and with reads at all that the state directory
// holds.
func (a *app) doctor(ctx context.Context, out io.Writer, format string, reads, repair bool) error {
	log, err := a.log()
	if err != nil {
		return err
	}
	settings, err := a.settingsOfMachine(log)
	if err != nil {
		return err
	}
	stateDir, err := a.statePath(settings)
	if err != nil {
		return err
	}
	all, missing := a.examine(ctx, stateDir, settings)
	damaged := 0
	if reads {
		found, err := doctor.Check(ctx, doctor.Options{StateDir: stateDir, UploadDir: settings.PublishedTree(stateDir), Repair: repair})
		if err != nil {
			return err
		}
		var findings []finding
		findings, damaged = damageFindings(found, stateDir, repair)
		all = append(all, findings...)
	}
	if err := printFindings(out, format, all); err != nil {
		return err
	}
	switch {
	case damaged > 0:
		return fmt.Errorf("%s damaged", are(damaged))
	case missing > 0:
		return fmt.Errorf("%s missing", are(missing))
	}
	return nil
}

// are counts things: "1 thing is", "2 things are".
func are(n int) string {
	if n == 1 {
		return "1 thing is"
	}
	return text.Count(n, "thing") + " are"
}

// damageFindings are those of a state directory; damaged counts what is left.
func damageFindings(found []damage.Finding, stateDir string, repaired bool) (all []finding, damaged int) {
	if len(found) == 0 {
		return []finding{{What: "everything kept in " + stateDir, State: "ok"}}, 0
	}
	for _, f := range found {
		one := finding{What: f.What + " (" + f.Path + ")", State: "repaired", Why: f.Err.Error(), Cure: f.Cost}
		if !repaired || f.Remove == nil {
			damaged++
			one.State = "damaged"
			if f.Remove != nil {
				one.Cure = "run vauban doctor --state " + stateDir + " --repair; then " + f.Cost
			}
		}
		all = append(all, one)
	}
	return all, damaged
}

// examine runs the checks of the machine and counts what is missing.
func (a *app) examine(ctx context.Context, stateDir string, settings config.Settings) (all []finding, missing int) {
	for _, c := range a.checks(stateDir, settings) {
		found := finding{What: c.what, State: "ok"}
		if err := c.need(ctx); err != nil {
			found.Why, found.Cure = err.Error(), c.cure
			found.State = "optional"
			if !c.optional {
				found.State = "missing"
				missing++
			}
		}
		all = append(all, found)
	}
	return all, missing
}

func printFindings(out io.Writer, format string, all []finding) error {
	if format == "json" {
		return printJSON(out, all)
	}
	for _, f := range all {
		state := f.State
		if state == "missing" || state == "damaged" {
			state = strings.ToUpper(state) // to be seen at once
		}
		line := fmt.Sprintf("%-8s %s", state, remedy.Text(f.What, f.Why, f.Cure))
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
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

func (a *app) checks(stateDir string, s config.Settings) []check {
	playbook := cmp.Or(s.AnsiblePlaybook, "ansible-playbook")
	all := []check{
		{what: "root", need: isRoot, cure: "run vauban as root: it mounts filesystems and runs containers"},
		{what: "state directory " + stateDir, need: func(context.Context) error { return daemon.CheckStateDir(stateDir, a.trusted()...) }, cure: "choose another with --state or VAUBAN_STATE_DIR"},
		{what: "slirp4netns can be used (/dev/net/tun)", need: exists("/dev/net/tun"), cure: "modprobe tun; in a container, pass --device /dev/net/tun"},
	}
	all = append(all, check{what: "writable cgroups", cure: "containers cannot run without them", need: func(context.Context) error { return layers.CheckCgroups() }})
	all = append(all, check{what: "user namespaces and cgroup v2, for init: systemd", optional: true, cure: "only masters that need it cannot be built without it",
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
		{program: "qemu-img", pkg: "qemu-utils", optional: true}, // for bases that are qcow2
		{program: "ssh", pkg: "openssh-client", optional: true},  // for git over ssh, and for drift
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

func exists(path string) func(context.Context) error {
	return func(context.Context) error {
		_, err := os.Stat(path)
		return err
	}
}
