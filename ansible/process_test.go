package ansible

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	var out bytes.Buffer
	var events []byte
	err := process{
		argv:   []string{"sh", "-c", "echo out; echo err >&2; echo event >&3; exit 3"},
		env:    os.Environ(),
		output: &out,
		events: func(r io.Reader) { events, _ = io.ReadAll(r) },
	}.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), `running "sh": exit status 3`) {
		t.Errorf("got error %v", err)
	}
	if out.String() != "out\nerr\n" || string(events) != "event\n" {
		t.Errorf("got output %q and events %q", &out, events)
	}
}

// A cancelled process and all that left its group are gone; nothing waits for
// a pipe that such a one holds.
func TestProcessLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var left string
	err := process{
		argv:   []string{"bash", "-c", "trap '' TERM; setsid sleep 1000 & echo $! >&3; kill -STOP $$"},
		env:    os.Environ(),
		output: io.Discard,
		grace:  time.Millisecond,
		events: func(r io.Reader) {
			line := make([]byte, 32)
			n, _ := r.Read(line)
			left = strings.TrimSpace(string(line[:n]))
			cancel(errors.New("enough"))
		},
	}.run(ctx)
	if err == nil || err.Error() != "enough" {
		t.Errorf("got error %v, want the reason", err)
	}
	status, err := os.ReadFile("/proc/" + left + "/status")
	if err == nil && !strings.Contains(string(status), "State:\tZ") {
		t.Errorf("process %s is left:\n%s", left, status)
	}
}
