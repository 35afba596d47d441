//go:build integration

package layers_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/layers"
)

const childCommand = "run-of-a-test"

// child is another vauban: the test binary started again, with an engine of
// its own on a state directory. It runs a script in containers of the image
// named "base" and says so, line by line: "open", then what the script
// prints, then for each container its name and the digest of its image.
type child struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

// newChild prepares a child, which ends with the test at the latest.
func newChild(t *testing.T, stateDir, script string, names ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, append([]string{childCommand, stateDir, script}, names...)...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &child{cmd, bufio.NewScanner(out)}
}

// run starts the child and gives its lines, when it is over.
func (c *child) run(t *testing.T) []string {
	t.Helper()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for c.out.Scan() {
		lines = append(lines, c.out.Text())
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("%v: %q", err, lines)
	}
	return lines
}

// becomeChild says whether this process was started as one, when it is over.
func becomeChild(args []string) bool {
	if len(args) < 4 || args[1] != childCommand {
		return false
	}
	if err := beChild(os.Stdout, args[2], args[3], args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	return true
}

func beChild(out io.Writer, stateDir, commands string, names []string) error {
	ctx := context.Background()
	e, err := openEngine(stateDir)
	if err != nil {
		return err
	}
	defer e.Close()
	fmt.Fprintln(out, "open")
	base, err := e.Image(ctx, "base")
	if err != nil {
		return err
	}
	var targets []layers.Target
	for _, name := range names {
		targets = append(targets, target(name, base))
	}
	results, err := e.Apply(ctx, loud{commands, out}, change, targets...)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
		fmt.Fprintln(out, r.Name, r.Image.Digest())
	}
	return nil
}

// loud is a script that is heard while it runs.
type loud struct {
	script string
	out    io.Writer
}

func (l loud) Key(ctx context.Context, host string) (digest.Digest, error) {
	return script(l.script).Key(ctx, host)
}

func (l loud) Run(ctx context.Context, containers []*layers.Container) error {
	for _, c := range containers {
		if err := c.Exec(ctx, layers.Process{Args: []string{"/bin/sh", "-ec", l.script}, Stdout: l.out, Stderr: l.out}); err != nil {
			return err
		}
	}
	return nil
}
