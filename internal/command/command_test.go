package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a program started would hold its output open.
func TestGroupEndsWhatWasStarted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "sleep 60 & sleep 60")
	cmd.Stdout = &strings.Builder{}
	Group(cmd, syscall.SIGTERM, 30*time.Second)
	start := time.Now()
	if err := cmd.Run(); err == nil || time.Since(start) > 20*time.Second {
		t.Errorf("it ended after %v with %v", time.Since(start), err)
	}
}

func TestOutput(t *testing.T) {
	failure := errors.New("no")
	for _, test := range []struct {
		script, want string
		failed       func(error) error
		err          error
	}{
		{script: "echo all", want: "all\n"},
		{"echo half; exit 3", "half\n", func(err error) error { return fmt.Errorf("%w: %w", failure, err) }, failure},
		{"echo all; exit 1", "all\n", func(error) error { return nil }, nil},
	} {
		out, err := Start(exec.CommandContext(t.Context(), "sh", "-c", test.script), test.failed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(out)
		if string(got) != test.want || !errors.Is(err, test.err) {
			t.Errorf("%q gave %q and %v", test.script, got, err)
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Start(exec.CommandContext(t.Context(), "/nowhere"), nil); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestClosedOutputEndsTheProgram(t *testing.T) {
	out, err := Start(exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & sleep 60"), nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := out.Close(); err != nil || time.Since(start) > 20*time.Second {
		t.Errorf("it was closed after %v with %v", time.Since(start), err)
	}
}

func TestTail(t *testing.T) {
	for want, texts := range map[string][]string{
		"3rd":        {"first line\n", "second\n", "3rd\n"},
		"short":      {"short\n"},
		"f one line": {"the end of", " one line"},
		"one line":   {"the end of one line\n"},
	} {
		said := &Tail{Limit: 10}
		for _, text := range texts {
			if n, err := said.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := said.String(); got != want {
			t.Errorf("of %q is kept %q, want %q: the whole lines of the last 10 bytes, or what there is of one", texts, got, want)
		}
	}
}
