//go:build integration

package layers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A process chooses its own name.
func TestCommandOfOddNames(t *testing.T) {
	for _, name := range []string{"plain", "with space", "a) S 1 (b", ") R 77 88", "((", "new\nline"} {
		program := filepath.Join(t.TempDir(), name)
		if err := os.Symlink("/bin/cat", program); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program, "-")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The kernel shows the command when it runs.
		if _, err := in.Write([]byte{'\n'}); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if got := commandOf(cmd.Process.Pid); got != program+" -" {
			t.Errorf("the command of %q is %q", name, got)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// It is nobody's then.
		if err := cmd.Wait(); err == nil {
			t.Error("it was not killed")
		}
		if command := commandOf(cmd.Process.Pid); command != "" {
			t.Errorf("a process that ended has the command %q", command)
		}
	}
}
