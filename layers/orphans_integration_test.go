//go:build integration

package layers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// start gives a process that sleeps, with what else its command line is to
// hold.
func start(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", "sleep 1000; true", "shim"}, arguments...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	return cmd
}

func killed(cmd *exec.Cmd) bool {
	cmd.Wait()
	return cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

func TestKillShims(t *testing.T) {
	left := start(t, "-namespace", Namespace, "-id", "testrun-a", "-address", "x")
	others := []*exec.Cmd{
		start(t, "-namespace", Namespace, "-id", "testrun2-a"),
		start(t, "-namespace", "other", "-id", "testrun-a"),
		start(t, "testrun-a"),
	}
	if err := killShims("testrun"); err != nil {
		t.Fatal(err)
	}
	if !killed(left) {
		t.Error("a shim is left")
	}
	for _, other := range others {
		if err := other.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("%q: %v", other.Args, err)
		}
	}
}

func TestRemoveCgroups(t *testing.T) {
	left, other := start(t), start(t)
	hierarchies, err := cgroupMounts()
	if err != nil {
		t.Fatal(err)
	}
	for name, process := range map[string]*exec.Cmd{"testrun-a": left, "testrun-b": nil, "testrun2-a": other} {
		// cpuset of cgroup v1 takes processes only when it is set up.
		for _, hierarchy := range []string{"pids", ""} {
			if hierarchies[hierarchy] == "" {
				continue
			}
			dir := filepath.Join(hierarchies[hierarchy], Namespace, name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := removeCgroup(context.WithoutCancel(t.Context()), dir); err != nil {
					t.Error(err)
				}
			})
			if process == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(process.Process.Pid)), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := removeCgroups(t.Context(), "testrun"); err != nil {
		t.Fatal(err)
	}
	if !killed(left) {
		t.Error("what was in the cgroup is left")
	}
	found, err := filepath.Glob("/sys/fs/cgroup/*/" + Namespace + "/testrun-*")
	if err != nil || len(found) > 0 {
		t.Errorf("cgroups %q, error %v", found, err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another run's process: %v", err)
	}
}
