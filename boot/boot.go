package boot

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"vauban/internal/gateway"
)

// Options say what to boot and how.
type Options struct {
	// Tree is the directory with the published releases.
	Tree string
	// Master, and Release, the current one when empty.
	Master, Release string
	// Host is the machine whose files are laid over the root filesystem;
	// none when empty.
	Host string

	// PXE lets the machine boot as those of a fleet do: the iPXE of its
	// network card is led to the boot entry and loads what that names.
	// Otherwise QEMU hands it the kernel and the initramfs.
	PXE bool
	// Firmware is a file with the machine's firmware, such as OVMF for UEFI;
	// QEMU's BIOS when empty.
	Firmware string
	// Memory of the machine in MiB; fitting the release when 0.
	Memory int
	// CPUs of the machine; 2 when 0.
	CPUs int
	// Program is QEMU; qemu-system-x86_64 when empty.
	Program string
	// Allowed are patterns of the kernel parameters that the release may bring
	// besides those of vauban's list.
	Allowed []string
	// Reach lists addresses of this machine that the guest may reach, besides
	// the published tree; all others of this machine are refused.
	Reach []gateway.Destination
	// Extra are further kernel parameters.
	Extra []string
	// SerialLog is where the machine's console goes; a file in the temporary
	// directory, which stays, when empty.
	SerialLog string

	// Wait makes Boot return when the machine has reported, and stop it then.
	// Otherwise Boot puts the console on stdin and stdout and returns when
	// the machine has gone.
	Wait bool
	// Timeout is how long to Wait; 5 minutes when 0, and 20 where the
	// processor is emulated.
	Timeout time.Duration
	// Probe is a shell script that the machine runs, as root, before it
	// reports. Only with Wait.
	Probe string

	// Log may be nil.
	Log *slog.Logger
}

// Result is how a boot went.
type Result struct {
	// Report is empty unless Options.Wait was set.
	Report Report
	// SerialLog holds what the machine wrote to its console.
	SerialLog string
	// Elapsed is the time from QEMU's start to the report.
	Elapsed time.Duration
}

// Boot starts a virtual machine from a published release, served to it over
// HTTP in a network namespace that both have for themselves. It needs root and
// slirp4netns, which connects the namespace to the outside. With Options.Wait it returns without an error
// only when the machine has reported that it is up; nothing is added to the
// image for that. The machine does not outlive the process.
func Boot(ctx context.Context, o Options) (Result, error) {
	o = o.withDefaults()
	result, err := o.boot(ctx)
	if err != nil {
		err = fmt.Errorf("booting %q: %w", o.Master, err)
		if result.SerialLog != "" {
			err = fmt.Errorf("%w; the machine's console is in %q", err, result.SerialLog)
		}
	}
	return result, err
}

func (o Options) boot(ctx context.Context) (result Result, err error) {
	release, err := OpenRelease(o.Tree, o.Master, o.Release)
	if err != nil {
		return result, err
	}
	release.Allowed = o.Allowed
	_, refused := release.Extras()
	for _, err := range refused {
		o.Log.Info(fmt.Sprintf("left out: %v", err))
	}
	scratch, err := os.MkdirTemp("", "vauban-boot-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(scratch)
	served := filepath.Join(scratch, "served")
	if err := os.Mkdir(served, 0o700); err != nil {
		return result, err
	}
	n, err := openNetwork(ctx, scratch, o.Reach, o.Log)
	if err != nil {
		return result, err
	}
	defer n.close()
	stop, err := serveMachine(ctx, n, o.Tree, served, o.Log)
	if err != nil {
		return result, err
	}
	defer stop()
	m, err := newMachine(o, release, served)
	if err != nil {
		return result, err
	}
	result.SerialLog = m.serialLog
	o.Log.Info("booting", "master", release.Master, "release", release.Name, "host", o.Host,
		"kvm", m.kvm, "memory", m.memory, "serial", m.serialLog)
	start := time.Now()
	if o.Wait {
		result.Report, err = wait(ctx, n, m, o.timeout(m.kvm))
	} else {
		err = interact(ctx, n, m)
	}
	result.Elapsed = time.Since(start)
	n.refused(o.Log)
	return result, err
}

func (o Options) withDefaults() Options {
	if o.CPUs == 0 {
		o.CPUs = 2
	}
	if o.Program == "" {
		o.Program = "qemu-system-x86_64"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o Options) timeout(kvm bool) time.Duration {
	switch {
	case o.Timeout != 0:
		return o.Timeout
	case kvm:
		return 5 * time.Minute
	default:
		return 20 * time.Minute
	}
}
