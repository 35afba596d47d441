package layers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	systemdPath       = "/lib/systemd/systemd"
	userNamespacePath = "/run/vauban/user"

	// bootTimeout is twice what systemd gives a unit to start.
	bootTimeout = 3 * time.Minute
	// haltTimeout is more than what systemd gives a unit to stop.
	haltTimeout = 2 * time.Minute
	// haltSignal is SIGRTMIN+3, see systemd(1).
	haltSignal = unix.Signal(37)
)

// systemdUnits is what is known of a container whose process 1 is systemd.
type systemdUnits struct {
	cgroup string   // made by us besides runc's
	failed []string // units that were reported
}

// systemdArguments are what a machine's boot loader would pass: in a container
// systemd takes its arguments for the kernel's. Source: kernel-command-line(7).
var systemdArguments = []string{
	"systemd.unit=multi-user.target",
	"systemd.show_status=0",
	"systemd.condition-needs-update=0", // updates are for packages' own scripts
	"systemd.firstboot=0",
	"systemd.gpt_auto=0",
	"systemd.swap=0",
	"fstab=0", "luks=0", // the file systems of the machine to be are not here
}

// withSystemd makes what runc starts a container of ns, in which systemd
// becomes process 1.
func withSystemd(ns *userNamespace) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		s.Process.Args = slices.Concat([]string{initPath, strconv.Itoa(ns.owner), systemdPath}, systemdArguments)
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "cgroup" })
		s.Mounts = append(s.Mounts, specs.Mount{Type: "bind", Source: ns.path("user"),
			Destination: userNamespacePath, Options: []string{"bind", "ro"}})
		for i, n := range s.Linux.Namespaces {
			switch n.Type {
			case specs.NetworkNamespace:
				s.Linux.Namespaces[i].Path = ns.path("net")
			case specs.UTSNamespace:
				s.Linux.Namespaces[i].Path = ns.path("uts")
			}
		}
		return nil
	}
}

// userNamespace is nil for a container without systemd.
func (c *Container) userNamespace() (*userNamespace, error) {
	if !c.options.Systemd {
		return nil, nil
	}
	return newUserNamespace()
}

// prepareSystemd is done before process 1 runs.
func (c *Container) prepareSystemd() error {
	if !c.has(systemdPath) {
		return errors.New("`init: systemd` needs systemd in the image: install the package systemd-sysv in an earlier stage, or name it in the base's include")
	}
	for _, program := range []string{"setpriv", "nsenter", "unshare", "mount"} {
		if !c.has("/bin/"+program) && !c.has("/usr/bin/"+program) {
			return fmt.Errorf("`init: systemd` needs %q in the image: install the packages util-linux and mount", program)
		}
	}
	if err := c.ownCgroup(); err != nil {
		return err
	}
	if err := c.allowNonlocalBind(); err != nil {
		c.engine.log.Warn("services that listen on the machine's own address will not start", "container", c.Name(), "error", err)
	}
	return c.Inside(adaptUnits)
}

// ownCgroup gives the container a cgroup v2 of its own where runc, on a builder
// that uses both versions, gave it none: its cgroup namespace begins there.
func (c *Container) ownCgroup() error {
	hierarchies, err := cgroupMounts()
	if err != nil {
		return err
	}
	v2 := hierarchies[""]
	if v2 == "" {
		return CheckUserNamespaces()
	}
	own := filepath.Join(v2, Namespace, c.id)
	if slices.Contains(c.cgroups, filepath.Join(own, "cgroup.procs")) {
		return nil
	}
	if err := os.MkdirAll(own, 0o755); err != nil {
		return fmt.Errorf("making a cgroup: %w", err)
	}
	if err := os.WriteFile(filepath.Join(own, "cgroup.procs"), fmt.Appendln(nil, c.Pid()), 0); err != nil {
		return fmt.Errorf("moving process 1 to its cgroup: %w", err)
	}
	c.systemd.cgroup = own
	return nil
}

// allowNonlocalBind lets services bind addresses that the machine will have
// and the container has not. It is set where it counts: what is at /proc/sys
// inside is a copy.
func (c *Container) allowNonlocalBind() error {
	return c.inNetwork(func() error {
		var errs []error
		for _, path := range []string{"/proc/sys/net/ipv4/ip_nonlocal_bind", "/proc/sys/net/ipv6/ip_nonlocal_bind"} {
			if err := os.WriteFile(path, []byte("1\n"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
}

// boot waits until systemd has started what the image wants started.
func (c *Container) boot(ctx context.Context) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	state := ""
	for {
		if c.exited(0) {
			return fmt.Errorf("systemd exited immediately: %s", c.consoleTail())
		}
		if now := c.systemdState(ctx); now != "" { // the last question may be cut off
			state = now
		}
		switch state {
		case "running":
			return nil
		case "degraded":
			c.reportFailedUnits(ctx)
			return nil
		case "maintenance", "stopping": // it will not come up any more
			return c.lateBoot(state, time.Since(start))
		}
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return c.lateBoot(state, time.Since(start))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// systemdUnits is "" before systemd answers.
func (c *Container) systemdState(ctx context.Context) string {
	var out bytes.Buffer
	_ = c.Exec(ctx, Process{Args: []string{"systemctl", "is-system-running"}, Stdout: &out})
	return strings.TrimSpace(out.String())
}

// lateBoot says what systemd was waiting for.
func (c *Container) lateBoot(state string, after time.Duration) error {
	ctx, cancel := afterwards(context.Background())
	defer cancel()
	jobs, _ := c.output(ctx, "systemctl", "list-jobs", "--no-legend", "--no-pager")
	_, _ = c.output(ctx, "journalctl", "--sync") // what services printed last
	journal, _ := c.output(ctx, "journalctl", "--no-pager", "--lines=10", "--output=cat")
	return fmt.Errorf("systemd is not up after %s but %q; it waits for:\n%s\nits journal ends with:\n%s\n%s",
		after.Round(time.Second), state, strings.TrimSpace(jobs), strings.TrimSpace(journal), c.consoleTail())
}

// reportFailedUnits warns of those that were not warned of before.
func (c *Container) reportFailedUnits(ctx context.Context) {
	out, err := c.output(ctx, "systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager")
	if err != nil {
		return
	}
	for line := range strings.Lines(out) {
		unit, _, _ := strings.Cut(line, " ")
		if unit == "" || slices.Contains(c.systemd.failed, unit) {
			continue
		}
		c.systemd.failed = append(c.systemd.failed, unit)
		said, _ := c.output(ctx, "journalctl", "--no-pager", "--lines=3", "--output=cat", "--unit="+unit)
		c.engine.log.Warn("a unit failed", "container", c.Name(), "unit", unit, "said", strings.TrimSpace(said))
	}
}

// halt has systemd stop every service in its own order and way, as when a
// machine is switched off: what they wrote is whole.
func (c *Container) halt(ctx context.Context) {
	c.reportFailedUnits(ctx)
	c.terminate(ctx) // what the step itself left running
	for _, pid := range c.processes() {
		unix.Kill(pid, unix.SIGKILL)
	}
	if err := unix.PidfdSendSignal(int(c.init.Fd()), haltSignal, nil, 0); err != nil {
		return // it has ended
	}
	deadline := time.Now().Add(haltTimeout)
	for !c.exited(200 * time.Millisecond) {
		if time.Now().After(deadline) || ctx.Err() != nil {
			c.engine.log.Warn("killing systemd, which did not stop its services in time", "container", c.Name(), "said", c.consoleTail())
			return
		}
	}
}

// exited waits that long for the end of process 1.
func (c *Container) exited(wait time.Duration) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.init.Fd()), Events: unix.POLLIN}}, int(wait.Milliseconds()))
	return err == nil && n > 0
}

// consoleTail is the end of what process 1 printed.
func (c *Container) consoleTail() string {
	log, err := os.Open(filepath.Join(c.dir, "log"))
	if err != nil {
		return ""
	}
	defer log.Close()
	end := make([]byte, 16<<10) // of what may be gigabytes
	if info, err := log.Stat(); err == nil {
		n, _ := log.ReadAt(end, max(0, info.Size()-int64(len(end))))
		end = end[:n]
	}
	return lastLines(string(end), 5)
}
