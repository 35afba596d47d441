// Package command ends programs that were started together with what they
// started themselves, and keeps what they say.
package command

import (
	"cmp"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Group gives the program a process group of its own, with all that it starts.
// When the context of cmd ends the group gets the signal; within grace after
// that, or after the program's end, its output is closed and it is killed.
func Group(cmd *exec.Cmd, signal syscall.Signal, grace time.Duration) {
	attributes(cmd).Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, signal) }
	cmd.WaitDelay = grace
}

// Tie has the kernel send the signal to the program when this process ends,
// however it does. It is called before the program starts; release is to be
// called by the same goroutine when the program was waited for: the kernel
// looks at the thread that started it, which stays until then.
func Tie(cmd *exec.Cmd, signal syscall.Signal) (release func()) {
	attributes(cmd).Pdeathsig = signal
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

func attributes(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}

// Output is what a running program prints, in a group of its own.
type Output struct {
	cmd    *exec.Cmd
	out    io.Reader
	failed func(error) error
	waited bool
}

// Start starts a program. Where its output ends, failed turns its failure into
// the error that the reader gets: half of an output must not pass for one.
func Start(cmd *exec.Cmd, failed func(error) error) (*Output, error) {
	Group(cmd, syscall.SIGTERM, 10*time.Second)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Output{cmd: cmd, out: out, failed: failed}, nil
}

// Read reads what the program prints, then why it failed.
func (o *Output) Read(p []byte) (int, error) {
	n, err := o.out.Read(p)
	if errors.Is(err, io.EOF) && !o.waited {
		o.waited = true
		if err := o.cmd.Wait(); err != nil {
			if err = o.failed(err); err != nil {
				return n, err
			}
		}
	}
	return n, err
}

// Close ends the program if it still runs.
func (o *Output) Close() error {
	if !o.waited {
		o.waited = true
		syscall.Kill(-o.cmd.Process.Pid, syscall.SIGTERM)
		o.cmd.Wait()
	}
	return nil
}

// Tail keeps the end of what is written to it, for an error message.
type Tail struct {
	// Limit is how many bytes are kept. 0: 4096.
	Limit int
	kept  []byte
}

// Write never fails.
func (t *Tail) Write(b []byte) (int, error) {
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - t.limit(); over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

func (t *Tail) limit() int { return cmp.Or(t.Limit, 4096) }

// String is the lines that were kept whole, or the end of a line that is longer
// than what is kept.
func (t *Tail) String() string {
	text := strings.TrimRight(strings.ToValidUTF8(string(t.kept), ""), " \r\n")
	if _, whole, ok := strings.Cut(text, "\n"); ok && len(t.kept) == t.limit() {
		text = whole // without the first line, which is not
	}
	return strings.TrimSpace(text)
}
