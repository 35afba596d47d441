//go:build integration

package daemon

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vauban/internal/filelock"
)

// holdCommand makes the test binary a run that starts the daemon, says so and
// stays until it is killed.
const holdCommand = "hold-daemon"

func TestMain(m *testing.M) {
	if Dispatch(os.Args) {
		return
	}
	if len(os.Args) == 3 && os.Args[1] == holdCommand {
		hold(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

func hold(stateDir string) {
	d, err := Start(context.Background(), Options{StateDir: stateDir, Version: "1"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(d.Address())
	select {}
}

// newOptions gives a state directory of the test's own. The daemon in it is
// gone before the directory is.
func newOptions(t *testing.T, version string) (Options, paths) {
	t.Helper()
	dir := t.TempDir()
	p, err := makePaths(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A starter that came second may have one that has not even tried the lock.
		for pids := daemonsOf(p); len(pids) > 0; pids = daemonsOf(p) {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
			time.Sleep(poll)
		}
		if t.Failed() {
			log, _ := os.ReadFile(p.log())
			t.Logf("containerd's log:\n%s", log)
		}
		if err := os.RemoveAll(p.runtime); err != nil {
			t.Error(err)
		}
	})
	return Options{StateDir: dir, Version: version, linger: 100 * time.Millisecond}, p
}

// daemonsOf are the processes that serve a state directory or want to.
func daemonsOf(p paths) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		cmdline, _ := os.ReadFile(file)
		if strings.Contains(string(cmdline), "\x00"+childCommand+"\x00"+p.state+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func start(t *testing.T, o Options) *Daemon {
	t.Helper()
	d, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// waitGone returns when no daemon runs: its lock can be had.
func waitGone(t *testing.T, p paths) {
	t.Helper()
	f, err := os.OpenFile(p.daemon(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
}

func daemonPid(t *testing.T, p paths) int {
	t.Helper()
	pid, err := p.daemonPid()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestStartServesThePluginsVaubanUses(t *testing.T) {
	o, _ := newOptions(t, "1")
	d := start(t, o)
	client, err := containerd.New(d.Address(), containerd.WithDefaultNamespace("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	answer, err := client.IntrospectionService().Plugins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Plugins) == 0 {
		t.Fatal("no plugins are listed")
	}
	for _, p := range answer.Plugins {
		if p.InitErr != nil {
			t.Errorf("plugin %s.%s did not start: %v", p.Type, p.ID, p.InitErr)
		}
	}
}

func TestDaemonRunsContainers(t *testing.T) {
	o, _ := newOptions(t, "1")
	d := start(t, o)
	client, err := containerd.New(d.Address(), containerd.WithDefaultNamespace("vauban-test"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := namespaces.WithNamespace(t.Context(), "vauban-test")
	id := strings.ToLower(rand.Text()) // runc's folder is the whole machine's
	container, err := client.NewContainer(ctx, id, containerd.WithNewSpec(
		oci.WithRootFSPath(hostRoot(t)), oci.WithProcessArgs("/usr/bin/sh", "-c", "exit 7"),
		oci.WithMounts([]specs.Mount{{Type: "bind", Source: "/usr", Destination: "/usr", Options: []string{"rbind", "ro"}}})))
	if err != nil {
		t.Fatal(err)
	}
	defer container.Delete(ctx)
	task, err := container.NewTask(ctx, cio.NullIO)
	if err != nil {
		t.Fatal(err)
	}
	defer task.Delete(ctx, containerd.WithProcessKill)
	exited, err := task.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if status := <-exited; status.ExitCode() != 7 {
		t.Errorf("the container ended with %d, error %v; want 7", status.ExitCode(), status.Error())
	}
}

// hostRoot is a root filesystem of links into the builder's /usr.
func hostRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "usr"), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestDaemonIsOnItsOwn(t *testing.T) {
	t.Setenv("REGISTRY_PASSWORD", "canary")
	o, p := newOptions(t, "1")
	start(t, o)
	pid := daemonPid(t, p)
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("the daemon %d is in session %d, error %v; want its own", pid, session, err)
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(environment), "PATH="+p.binDir()+":") || strings.Contains(string(environment), "canary") {
		t.Errorf("the daemon's environment is %q; want only a PATH that begins with the shim's folder", environment)
	}
	for fd, want := range map[int]string{0: os.DevNull, 1: p.log(), 2: p.log()} {
		got, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if err != nil || got != want {
			t.Errorf("the daemon's file %d is %q, error %v; want %q", fd, got, err, want)
		}
	}
}

func TestConcurrentStartersShareOneDaemon(t *testing.T) {
	o, p := newOptions(t, "1")
	pids := make([]int, 4)
	var group sync.WaitGroup
	for i := range pids {
		group.Go(func() {
			d, err := Start(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = d.Close() })
			pids[i], err = p.daemonPid()
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, pid := range pids {
		if pid == 0 || pid != pids[0] {
			t.Fatalf("four starters saw the daemons %v; want one", pids)
		}
	}
}

func TestDaemonEndsAfterTheLastRun(t *testing.T) {
	o, p := newOptions(t, "1")
	first, second := start(t, o), start(t, o)
	pid := daemonPid(t, p)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if !answers(t.Context(), second.Address()) || daemonPid(t, p) != pid {
		t.Error("the daemon ended with the first of two runs")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	waitGone(t, p)
	if _, err := os.Stat(p.runtime); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the runtime folder is left, error %v", err)
	}
	again := start(t, o)
	if daemonPid(t, p) == pid || !answers(t.Context(), again.Address()) {
		t.Error("a run after the daemon's end did not get a new one")
	}
	container := filepath.Join(p.runtimeState(), "io.containerd.runtime.v2.task/vauban/left")
	if err := errors.Join(os.MkdirAll(container, 0o700), again.Close()); err != nil {
		t.Fatal(err)
	}
	waitGone(t, p)
	if _, err := os.Stat(container); err != nil {
		t.Errorf("what a killed run left was removed: %v", err)
	}
}

func TestDaemonEndsAfterAKilledRun(t *testing.T) {
	o, p := newOptions(t, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Every starter may be the one whose linger time counts: start it here.
	d := start(t, o)
	holder := exec.CommandContext(t.Context(), self, holdCommand, o.StateDir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(address) != d.Address() {
		t.Fatalf("the other run said %q, error %v; want %q", address, err, d.Address())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if free, err := lockIsFree(p.lock()); err != nil || free {
		t.Fatalf("the lock is free: %v, error %v; want it held by the other run", free, err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	waitGone(t, p)
}

func lockIsFree(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return filelock.Try(f, filelock.Exclusive)
}

func TestAnotherVersionReplacesAnIdleDaemon(t *testing.T) {
	o, p := newOptions(t, "1")
	o.linger = time.Hour // only a replacement ends it
	old := start(t, o)
	pid := daemonPid(t, p)

	o.Version = "2"
	waiting, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Start(waiting, o); err == nil {
		t.Fatal("a daemon was replaced while a run used it")
	}
	if daemonPid(t, p) != pid || !answers(t.Context(), old.Address()) {
		t.Fatal("the daemon ended while a run used it")
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, o)
	if version, err := p.version(); err != nil || version != "2" || daemonPid(t, p) == pid {
		t.Errorf("the daemon is of version %q, error %v; want a new one of version 2", version, err)
	}
}

func TestStartSaysWhyContainerdDoesNotStart(t *testing.T) {
	o, p := newOptions(t, "1")
	// Where containerd keeps its database is a file.
	if err := os.WriteFile(filepath.Join(p.root(), "io.containerd.metadata.v1.bolt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), p.log()) || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("the error is %v; want the reason and where the log is", err)
	}
	if free, err := lockIsFree(p.lock()); err != nil || !free {
		t.Errorf("the lock is free: %v, error %v; want it free after the failure", free, err)
	}
}

func TestCheckStateDir(t *testing.T) {
	if err := CheckStateDir(filepath.Join(t.TempDir(), "new")); err != nil {
		t.Errorf("a good directory is refused: %v", err)
	}
	for name, mount := range map[string]struct{ fstype, options string }{
		"no trusted attributes": {"ramfs", ""},
		"an overlay":            {"overlay", "lowerdir=/usr/lib,upperdir=%[1]s/upper,workdir=%[1]s/work"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, sub := range []string{"mnt", "upper", "work"} {
				if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			options := mount.options
			if options != "" {
				options = fmt.Sprintf(options, dir)
			}
			target := filepath.Join(dir, "mnt")
			if err := unix.Mount("none", target, mount.fstype, 0, options); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(target, 0)
			err := CheckStateDir(target)
			if err == nil || !strings.Contains(err.Error(), "VAUBAN_STATE_DIR") {
				t.Errorf("the error is %v; want the cure", err)
			}
		})
	}
}
