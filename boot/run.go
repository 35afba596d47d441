package boot

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// qemu prepares QEMU, which ends with ctx.
func qemu(ctx context.Context, m machine) *exec.Cmd {
	args := m.args()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// interact gives the machine the terminal.
func interact(ctx context.Context, n *network, m machine) error {
	cmd := qemu(ctx, m)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := n.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("running %q: %w", m.program, err)
	}
	return nil
}

// wait runs the machine until it has reported.
func wait(ctx context.Context, n *network, m machine, timeout time.Duration) (Report, error) {
	limit := fmt.Errorf("the guest has not reported within %s", timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, limit)
	defer cancel()
	reader, writer := io.Pipe()
	var messages tail
	cmd := qemu(ctx, m)
	cmd.Stdout, cmd.Stderr = writer, &messages
	if err := n.start(cmd); err != nil {
		return Report{}, fmt.Errorf("running %q: %w", m.program, err)
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		writer.CloseWithError(io.EOF)
		ended <- err
	}()
	report, err := readReport(reader)
	reader.Close()
	cancelled := context.Cause(ctx)
	cancel()
	ran := <-ended
	switch {
	case err == nil && report.Up():
		return report, nil
	case err == nil:
		return report, fmt.Errorf("the guest is %q, failed units: %q", report.State, report.Failed)
	case cancelled != nil:
		return report, fmt.Errorf("%w: %s", cancelled, lastWords(m.serialLog))
	case ran != nil:
		return report, fmt.Errorf("running %q: %w: %s", m.program, ran, messages.text)
	default:
		return report, fmt.Errorf("the guest ended before it was up: %s", lastWords(m.serialLog))
	}
}

// tail keeps the last kilobyte of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-1024):]
	return len(p), nil
}

// stopReason finds what the initramfs gave as its reason not to boot, and
// otherwise the last line, in what the guest wrote to its console.
func stopReason(console io.Reader) (reason, last string) {
	const mark = "vauban: stopped: "
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if _, after, found := strings.Cut(line, mark); found {
			reason = after
		}
		if line != "" {
			last = line
		}
	}
	return reason, last
}

// lastWords is stopReason of a log file, in words for an error.
func lastWords(serialLog string) string {
	console, err := os.Open(serialLog)
	if err != nil {
		return "it wrote nothing"
	}
	defer console.Close()
	switch reason, last := stopReason(console); {
	case reason != "":
		return "it stopped: " + reason
	case last != "":
		return fmt.Sprintf("its last words were %q", last)
	default:
		return "it wrote nothing"
	}
}
