package enter

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// notEntered is the exit code when the command was not started for a reason
// of ours; 126 and 127 are those of env(1).
const notEntered = 125

// Main is the program: args are the name of a Spec's file, the options and
// the command. It returns the exit code.
func Main(args []string) int {
	// Setns(2) is for one thread, which is also the one whose end the command
	// does not survive.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	status, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vauban: entering the container:", err)
	}
	return status
}

func run(args []string) (int, error) {
	if len(args) < 2 {
		return notEntered, errors.New("usage: SPEC [-e NAME=VALUE]... [-C DIR] [-u UID,GID,...] [-g] [-n] [--] COMMAND [ARGUMENT]")
	}
	options, command, err := ParseOptions(args[1:])
	if err != nil {
		return notEntered, err
	}
	if err := keepToItself(); err != nil {
		return notEntered, err
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return notEntered, fmt.Errorf("reading the description of the container: %w", err)
	}
	spec, err := Decode(data)
	if err != nil {
		return notEntered, err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, caught()...)
	pidfd, err := spec.join()
	if err != nil {
		return notEntered, err
	}
	pid, code, err := start(newChild(spec, options, command, pidfd))
	if err != nil {
		return code, err
	}
	go forward(signals, pid, !options.Group)
	return wait(pid)
}

// keepToItself hides what the program has open and holds in memory from the
// container, which sees its child for the instant before the command is
// executed, and from the command.
func keepToItself() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hiding its memory: %w", err)
	}
	if unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	// before Linux 5.11
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing its open files: %w", err)
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// join makes this process a member of the container's cgroups, so that its
// limits hold and nothing outlives it, and returns a pidfd of process 1. That
// is looked at afterwards: while it lives its pid is not another's.
func (s Spec) join() (pidfd int, err error) {
	for _, path := range s.Cgroups {
		if err := os.WriteFile(path, []byte("0"), 0); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return -1, ended(err)
			}
			return -1, fmt.Errorf("joining its cgroup: %w", err)
		}
	}
	pidfd, err = unix.PidfdOpen(s.Init, 0)
	if err != nil {
		return -1, ended(err)
	}
	started, err := StartTime(s.Init)
	if err != nil {
		return -1, ended(err)
	}
	if started != s.Started {
		return -1, ended(nil)
	}
	if err := s.isMember(); err != nil {
		return -1, err
	}
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0); n != 0 {
		return -1, ended(nil)
	}
	return pidfd, nil
}

func ended(err error) error {
	if err == nil {
		return errors.New("process 1 of the container has ended")
	}
	return fmt.Errorf("process 1 of the container has ended: %w", err)
}

// isMember checks that process 1 is in the last of the cgroups.
func (s Spec) isMember() error {
	members, err := os.ReadFile(s.Cgroups[len(s.Cgroups)-1])
	if err != nil {
		return ended(err)
	}
	for _, member := range strings.Fields(string(members)) {
		if member == strconv.Itoa(s.Init) {
			return nil
		}
	}
	return ended(nil)
}

// caught are the signals that do not end this program while the command runs.
func caught() []os.Signal {
	var found []os.Signal
	for _, s := range []os.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGINT, unix.SIGQUIT} {
		if !signal.Ignored(s) {
			found = append(found, s)
		}
	}
	return found
}

// forward passes signals on to the command, or to its session. Those that a
// terminal sends reach a command that has one by themselves: twice would mean
// something else to many.
func forward(signals <-chan os.Signal, pid int, session bool) {
	to := pid
	if session {
		to = -pid
	}
	for s := range signals {
		if !session && (s == unix.SIGINT || s == unix.SIGQUIT) {
			continue
		}
		_ = unix.Kill(to, s.(syscall.Signal))
	}
}

// wait ends as the command did.
func wait(pid int) (int, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return notEntered, fmt.Errorf("waiting for the command: %w", err)
		}
		if status.Exited() {
			return status.ExitStatus(), nil
		}
		return endBy(status.Signal()), nil
	}
}
