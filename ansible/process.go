package ansible

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vauban/internal/command"
)

const (
	// killAfter is how long ansible has to end by itself.
	killAfter = 10 * time.Second
	// drainFor bounds the wait for output once ansible is gone.
	drainFor = 5 * time.Second
)

// boundingSet is what no playbook needs on the builder, on localhost
// included: loading modules, the clock, rebooting, raw I/O, the kernel's log,
// security modules. What enters a container drops more (see layers).
const boundingSet = "-sys_module,-sys_time,-sys_boot,-sys_rawio,-bpf,-perfmon,-syslog,-mac_admin,-mac_override"

// process is one command with everything it starts.
type process struct {
	argv   []string
	dir    string
	env    []string
	output io.Writer       // both streams
	events func(io.Reader) // reads file descriptor 3; nil: there is none
	// grace is the time between TERM and KILL. 0: ten seconds.
	grace time.Duration
	// mark identifies what the process started; see newMark. Empty: all of that
	// is killed when the process ends.
	mark string
}

// newMark makes an environment entry by which [killMarked] finds processes.
func newMark() string { return "VAUBAN_PROCESS=" + rand.Text() }

// run starts the process in a group of its own and waits. When ctx ends the
// group gets TERM, later KILL.
func (p process) run(ctx context.Context) error {
	mark := cmp.Or(p.mark, newMark())
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(p.env, mark)
	defer command.Tie(cmd, syscall.SIGTERM)()
	command.Group(cmd, syscall.SIGTERM, cmp.Or(p.grace, killAfter))
	var pipes pipes
	defer pipes.close()
	stdout, err := pipes.open(func(r io.Reader) { _, _ = io.Copy(p.output, r) })
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stdout
	if p.events != nil {
		events, err := pipes.open(p.events)
		if err != nil {
			return err
		}
		cmd.ExtraFiles = []*os.File{events}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %q: %w", p.argv[0], err)
	}
	pipes.closeWriters()
	err = cmd.Wait()
	if p.mark == "" {
		killMarked(mark)
	}
	pipes.drain()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("running %q: %w", filepath.Base(p.argv[0]), err)
	}
	return nil
}

// pipes carry what a process writes to functions that read it. Their own
// ends, unlike those that os/exec makes, do not delay the end of Wait when a
// leftover of the process holds them.
type pipes struct {
	readers, writers []*os.File
	done             sync.WaitGroup
}

func (p *pipes) open(read func(io.Reader)) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	p.readers, p.writers = append(p.readers, r), append(p.writers, w)
	p.done.Go(func() {
		read(r)
		_, _ = io.Copy(io.Discard, r) // the writer must never block
	})
	return w, nil
}

func (p *pipes) closeWriters() {
	for _, w := range p.writers {
		w.Close()
	}
	p.writers = nil
}

// drain waits until everything was read.
func (p *pipes) drain() {
	for _, r := range p.readers {
		_ = r.SetReadDeadline(time.Now().Add(drainFor))
	}
	p.done.Wait()
}

func (p *pipes) close() {
	p.closeWriters()
	p.done.Wait()
	for _, r := range p.readers {
		r.Close()
	}
}

// killMarked kills every process whose environment holds the mark, and waits
// until they are gone. A process group is not enough: ansible's workers and
// tasks on localhost start sessions of their own.
func killMarked(mark string) {
	for found := true; found; { // one may fork while the list is read
		found = false
		entries, _ := os.ReadDir("/proc")
		for _, entry := range entries {
			if pid, err := strconv.Atoi(entry.Name()); err == nil && killIfMarked(pid, mark) {
				found = true
			}
		}
	}
}

func killIfMarked(pid int, mark string) bool {
	fd, err := unix.PidfdOpen(pid, 0) // so that the pid cannot become another's
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if !bytes.Contains(environOf(pid), []byte(mark)) {
		return false
	}
	if unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		return false
	}
	// readable once the process has ended
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(drainFor.Milliseconds()))
	return n > 0 || err == unix.EINTR
}

// environOf reads the environment of a process. One that becomes another program
// has none for a moment, which is waited for.
func environOf(pid int) []byte {
	dir := fmt.Sprintf("/proc/%d/", pid)
	for range 50 {
		environ, err := os.ReadFile(dir + "environ")
		if err != nil || len(environ) > 0 {
			return environ
		}
		if _, err := os.Readlink(dir + "exe"); err != nil {
			return nil // the kernel's own, or a dead one
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
