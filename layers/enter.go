package layers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vauban/internal/command"
)

const rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// joinScript makes the shell that runs it a member of the container's
// cgroups, so that the device rules hold for whoever enters and nothing
// outlives the container, and becomes the given command. It does so only
// while process 1 is in the last of them: else its pid may be another
// process's by now, and the command would run on the builder.
const joinScript = `umask 022
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
init=$1
n=$2
shift 2
while [ "$n" -gt 0 ]; do
	procs=$1
	echo 0 >"$procs" || exit 125
	shift
	n=$((n - 1))
done
while read -r pid <&3; do
	[ "$pid" != "$init" ] || exec "$@" 3<&-
done 3<"$procs"
echo "process 1 of the container has ended" >&2
exit 125`

// environment is what every command inside sees, through become too.
func (o ContainerOptions) environment() []string {
	env := []string{
		"PATH=" + rootPath,
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh",
		"LC_ALL=C.UTF-8",
		"container=vauban",
		"DEBIAN_FRONTEND=noninteractive",
		"PYTHONDONTWRITEBYTECODE=1",
	}
	if !o.Systemd {
		env = append(env, "SYSTEMD_OFFLINE=1")
	}
	return env
}

// Enter returns the start of a command line on the builder that runs the rest
// of it inside, as root with the container's own capabilities and environment
// and nothing of the caller's: append a program and its arguments, unquoted.
func (c *Container) Enter() []string {
	pid := strconv.Itoa(c.Pid())
	argv := append([]string{c.engine.tools.env, "-i"}, c.options.environment()...)
	cgroups := c.joinedCgroups()
	argv = append(argv, c.engine.tools.sh, "-c", joinScript, "enter", pid, strconv.Itoa(len(cgroups)))
	argv = append(argv, cgroups...)
	nsenter := []string{c.engine.tools.nsenter, "--target", pid,
		"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"}
	if c.options.Systemd {
		// In there every capability is one over the container alone.
		nsenter[0] = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), c.nsenter.Fd())
		return append(append(argv, nsenter...), "--user", "--")
	}
	argv = append(append(argv, nsenter...), "--")
	return append(argv, c.dropCapabilities()...)
}

// joinedCgroups are those of process 1; systemd moves itself to one that it
// makes.
func (c *Container) joinedCgroups() []string {
	if c.options.Systemd {
		if now, err := cgroupProcs(c.Pid()); err == nil {
			return now
		}
	}
	return c.cgroups
}

// dropCapabilities is run inside: whoever enters a namespace keeps what he
// came with, SYS_ADMIN among it.
func (c *Container) dropCapabilities() []string {
	keep := "-all"
	for _, name := range c.options.capabilities() {
		keep += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	return []string{"setpriv", "--bounding-set", keep, "--inh-caps", "-all"}
}

// Process is one command to run inside.
type Process struct {
	Args []string
	// Env is added to the container's environment, NAME=value.
	Env []string
	// Dir is the working directory inside. Empty: /.
	Dir string
	// User is "NAME|UID[:GROUP|GID]" as the image knows them. Empty: root.
	User           string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Exec runs a command inside and waits for it. When ctx ends, the command and
// its children are killed.
func (c *Container) Exec(ctx context.Context, p Process) error {
	argv := c.Enter()
	user, err := c.user(p.User)
	if err != nil {
		return err
	}
	argv = append(argv, user...)
	argv = append(argv, "env")
	if p.Dir != "" {
		argv = append(argv, "--chdir="+p.Dir)
	}
	argv = append(argv, p.Env...)
	argv = append(argv, p.Args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	command.Group(cmd, syscall.SIGKILL, 5*time.Second)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %q in the container of %q: %w", p.Args[0], c.Name(), err)
	}
	return nil
}

// output runs a command inside and returns what it printed, both streams.
func (c *Container) output(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := c.Exec(ctx, Process{Args: args, Stdout: &out, Stderr: &out})
	if err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, lastLines(out.String(), 5))
	}
	return out.String(), nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Inside runs fn with the container's root as the root of plain file calls
// (os.Open, os.WriteFile, unix.Mount…): no link leads out of it. fn must not
// start goroutines that touch files.
func (c *Container) Inside(fn func() error) error {
	done := make(chan error, 1)
	go onThread(func() { done <- inMountNamespaceOf(int(c.init.Fd()), fn) })
	if err := <-done; err != nil {
		return fmt.Errorf("in the container of %q: %w", c.Name(), err)
	}
	return nil
}

// onThread runs fn on a thread that ends with it, so that no other goroutine
// sees what fn did to it. The main thread never ends, and is what /proc/self
// shows: it is passed over.
func onThread(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		fn()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		onThread(fn)
	}()
	<-done
	runtime.UnlockOSThread()
}

// inMountNamespaceOf enters by a pidfd, which no other process ever takes over.
func inMountNamespaceOf(pidfd int, fn func() error) error {
	// Threads share their root and working directory until told otherwise,
	// and setns(2) refuses to change those of several.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unsharing the root directory: %w", err)
	}
	if err := unix.Setns(pidfd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("entering the mount namespace: %w", err)
	}
	unix.Umask(0o022)
	return fn()
}
