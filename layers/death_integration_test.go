//go:build integration

package layers_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/layers/daemon"
)

// moments is how often a run is ended early. The moments are spread over the
// time that it takes.
const moments = 8

const deathScript = `echo changed >/srv/file; sleep 0.2`

// A run that is killed, at whatever moment, leaves nothing that the next one
// does not clean up.
func TestKilledRunsLeaveNothing(t *testing.T) {
	dir, _, _ := ownEngine(t)
	begun := time.Now()
	newChild(t, dir, deathScript, "dead01", "dead02").run(t)
	whole := time.Since(begun)
	for i := range moments {
		moment := (whole*time.Duration(i) + rand.N(whole)) / moments
		t.Run(fmt.Sprintf("after %v of %v", moment, whole), func(t *testing.T) {
			before := liveRuns(t, dir)
			c := newChild(t, dir, deathScript, "dead01", "dead02")
			if err := c.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(moment)
			if err := c.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = c.cmd.Wait() // it was killed
			dead := slices.DeleteFunc(liveRuns(t, dir), func(id string) bool { return slices.Contains(before, id) })

			next := testenv.Engine(t, dir)
			base, err := next.Image(t.Context(), "base")
			if err != nil {
				t.Fatal(err)
			}
			applyOne(t, next, `test ! -e /srv/file`, target("dead01", base))
			checkNothingLeft(t, dir, dead...)
		})
	}
}

// The daemon may die with the run, as when a CI job's processes are killed:
// the shims and containers stay, for the next daemon to find.
func TestKilledDaemonsLeaveNothing(t *testing.T) {
	dir, _, _ := ownEngine(t)
	c := newChild(t, dir, `echo running; sleep 1000`, "dead01", "dead02")
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for c.out.Scan() && c.out.Text() != "running" {
	}
	runs := liveRuns(t, dir)
	for _, pid := range processesWith(t, "__containerd\x00"+dir+"\x00") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait() // it was killed

	next := testenv.Engine(t, dir)
	base, err := next.Image(t.Context(), "base")
	if err != nil {
		t.Fatal(err)
	}
	applyOne(t, next, `true`, target("dead01", base))
	dead := slices.DeleteFunc(runs, func(id string) bool { return slices.Contains(liveRuns(t, dir), id) })
	if len(dead) != 1 {
		t.Errorf("the dead runs are %q, want one", dead)
	}
	checkNothingLeft(t, dir, dead...)
}

// processesWith finds processes by a part of their command line, whose
// arguments a zero byte ends.
func processesWith(t *testing.T, part string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		command, _ := os.ReadFile(file) // it may have ended
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && strings.Contains(string(command), part) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// An interrupted run ends at once and cleans up after itself.
func TestInterruptedRunsLeaveNothing(t *testing.T) {
	dir, e, base := ownEngine(t)
	targets := []layers.Target{target("stopped01", base), target("stopped02", base)}
	begun := time.Now()
	apply(t, e, script(deathScript), targets...)
	whole := time.Since(begun)
	for i := range moments {
		moment := (whole*time.Duration(i) + rand.N(whole)) / moments
		t.Run(fmt.Sprintf("after %v of %v", moment, whole), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), moment)
			defer cancel()
			results, err := e.Apply(ctx, script(deathScript), change, targets...)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("what is said of the interruption: %v", err)
			}
			for _, r := range results {
				if r.Err != nil {
					t.Errorf("%s is said to have failed: %v", r.Name, r.Err)
				}
			}
			checkNothingLeft(t, dir)
		})
	}
}

// ownEngine gives an engine of the test's own, which knows the base by name.
func ownEngine(t *testing.T) (dir string, e *layers.Engine, base layers.Image) {
	t.Helper()
	dir = t.TempDir()
	testenv.Plant(t, dir, testenv.Whole)
	e = testenv.Engine(t, dir)
	base = testenv.Base(t, e)
	if err := e.SetImage(t.Context(), "base", base); err != nil {
		t.Fatal(err)
	}
	return dir, e, base
}

// checkNothingLeft looks for what is left of containers on a state directory
// whose engines have none, and of runs that ended.
func checkNothingLeft(t *testing.T, dir string, dead ...string) {
	t.Helper()
	d, err := daemon.Start(t.Context(), daemon.Options{StateDir: dir, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	runtimeDir := filepath.Dir(d.Address())
	checkContainerd(t, d.Address(), liveRuns(t, dir))
	for _, id := range dead {
		for _, pattern := range []string{filepath.Join(dir, "run", id+"*"), filepath.Join(dir, "apt/views", id+"*"), filepath.Join(dir, "apt/sources/*."+id+"*"), "/sys/fs/cgroup/vauban/" + id + "*", "/sys/fs/cgroup/*/vauban/" + id + "*", "/run/containerd/runc/vauban/" + id + "*"} {
			if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
				t.Errorf("files %q, error %v", left, err)
			}
		}
	}
	for line := range strings.Lines(readFile(t, "/proc/self/mountinfo")) {
		point := strings.Fields(line)[4]
		if strings.HasPrefix(point, dir+"/") || strings.HasPrefix(point, runtimeDir+"/") {
			t.Errorf("mount %s", line)
		}
	}
	var left []string
	defer func() {
		if t.Failed() {
			t.Logf("processes %q", left)
		}
	}()
	// They end by themselves when the run does.
	eventually(t, "no process is left", func() bool {
		left = processesOf(t, runtimeDir, append(liveRuns(t, dir), dead...))
		return len(left) == 0
	})
}

func checkContainerd(t *testing.T, address string, runs []string) {
	t.Helper()
	client, err := containerd.New(address, containerd.WithDefaultNamespace(layers.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := namespaces.WithNamespace(t.Context(), layers.Namespace)
	if found, err := client.Containers(ctx); err != nil || len(found) > 0 {
		t.Errorf("containers %v, error %v", found, err)
	}
	err = client.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			t.Errorf("snapshot %s is %v", info.Name, info.Kind)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	leases, err := client.LeasesService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, lease := range leases {
		if !slices.Contains(runs, lease.ID) {
			t.Errorf("lease %s", lease.ID)
		}
	}
}

// liveRuns are those that have a lock on the state directory.
func liveRuns(t *testing.T, dir string) []string {
	t.Helper()
	locks, err := filepath.Glob(filepath.Join(dir, "run", "*.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for i, lock := range locks {
		locks[i] = strings.TrimSuffix(filepath.Base(lock), ".lock")
	}
	return locks
}

// processesOf lists those that belong to containers of these runs: what runs
// in them, shims, and programs that were started here to serve containers.
func processesOf(t *testing.T, runtimeDir string, runs []string) []string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, proc := range procs {
		// A process that has ended meanwhile has none of these.
		command, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		cgroup, _ := os.ReadFile(filepath.Join(proc, "cgroup"))
		inContainer := slices.ContainsFunc(runs, func(id string) bool { return strings.Contains(string(cgroup), "/vauban/"+id+"-") })
		if strings.Contains(string(command), runtimeDir+"/") ||
			strings.Contains(string(command), "slirp4netns") && cwd == here || inContainer {
			found = append(found, filepath.Base(proc)+" "+strings.ReplaceAll(string(command), "\x00", " "))
		}
	}
	return found
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
