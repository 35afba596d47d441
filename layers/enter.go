package layers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vauban/internal/command"
	"vauban/internal/thread"
	"vauban/layers/enter"
)

const rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

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

// Environment is that of every command inside, NAME=value.
func (c *Container) Environment() []string { return c.options.environment() }

// Enter returns the start of a command line on the builder that runs the rest
// of it inside, as root with the container's own capabilities and environment
// and nothing of the caller's: append a program and its arguments, unquoted.
// Options of [enter.Options] may come before them.
func (c *Container) Enter() []string {
	return []string{c.engine.enterProgram(), c.entrance.file(c.entry())}
}

// entry describes the container to the program that enters it.
func (c *Container) entry() enter.Spec {
	return enter.Spec{
		Init: c.Pid(), Started: c.started, Cgroups: c.joinedCgroups(),
		UserNamespace: c.options.Systemd, Capabilities: capabilityBits(c.options.capabilities()),
		OpenFiles: uint64(c.engine.limits.OpenFiles), Filter: c.filter, Env: c.options.environment(),
	}
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

// Process is one command to run inside.
type Process struct {
	Args []string
	// Env is added to the container's environment, NAME=value.
	Env []string
	// Dir is the working directory inside. Empty: /.
	Dir string
	// User is "NAME|UID[:GROUP|GID]" as the image knows them. Empty: root.
	User string
	// NoNewPrivileges keeps setuid programs, as su and sudo, from working.
	NoNewPrivileges bool
	Stdin           io.Reader
	Stdout, Stderr  io.Writer
}

// Exec runs a command inside and waits for it. When ctx ends, the command and
// its children are killed.
func (c *Container) Exec(ctx context.Context, p Process) error {
	o := enter.Options{Env: p.Env, Dir: p.Dir, NoNewPrivileges: p.NoNewPrivileges, Group: true}
	if err := c.becomes(&o, p.User); err != nil {
		return err
	}
	argv := slices.Concat(c.Enter(), o.Words(), p.Args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.Env = []string{}
	command.Group(cmd, syscall.SIGKILL, 5*time.Second)
	// A session is a group too, and has no terminal that the image could read
	// or write.
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Setsid = false, true
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %q in the container of %q: %w", p.Args[0], c.Name(), err)
	}
	return nil
}

// output runs a command of ours inside and returns what it printed, both streams.
func (c *Container) output(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := c.Exec(ctx, Process{Args: args, Stdout: &out, Stderr: &out, NoNewPrivileges: true})
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
	go thread.Own(func() { done <- inMountNamespaceOf(int(c.init.Fd()), fn) })
	if err := <-done; err != nil {
		return fmt.Errorf("in the container of %q: %w", c.Name(), err)
	}
	return nil
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
