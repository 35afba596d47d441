//go:build integration

package ansible

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/layers/daemon"
)

// scratch is removed after the last test.
var scratch string

func TestMain(m *testing.M) {
	if daemon.Dispatch(os.Args) {
		return
	}
	var err error
	if scratch, err = os.MkdirTemp("", "vauban-ansible-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if shared.engine != nil {
		if err := shared.engine.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "closing the shared engine:", err)
			status = 1
		}
	}
	os.RemoveAll(scratch)
	os.Exit(status)
}

// shared is one engine with the base: importing it takes long.
var shared struct {
	once   sync.Once
	engine *layers.Engine
	base   layers.Image
	err    error
}

// engine gives the shared engine and base; the first caller makes them.
func engine(t *testing.T) (*layers.Engine, layers.Image) {
	t.Helper()
	shared.once.Do(func() {
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		testenv.Plant(t, filepath.Join(scratch, "state"), testenv.Whole)
		shared.engine, shared.err = layers.Open(context.Background(), layers.Options{
			StateDir: filepath.Join(scratch, "state"), Embedded: true, Version: "test", Log: log})
		if shared.err == nil {
			shared.base = testenv.Base(t, shared.engine)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.engine, shared.base
}

// base is an unpacked Debian with python3 and sudo, made once per test binary.
func base(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(scratch, "base")
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return dir
	} else if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xf", testenv.BaseTar(t), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("unpacking the base: %v\n%s", err, out)
	}
	return dir
}

// box is a container as far as ansible needs one: its own root, processes,
// host name and network, and what runs inside is told so by its environment.
type box struct {
	target
	upper string // what was changed
}

const boxScript = `set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
mount --rbind /dev dev
hostname "$3"
exec chroot . /bin/sh -c 'echo ready; while :; do sleep 1000; done'`

func newBox(t *testing.T, name string) box {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork", "--kill-child",
		"/bin/sh", "-c", boxScript, "box", base(t), dir, name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatalf("starting a box: %v", err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		t.Fatal(err)
	}
	environment := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LC_ALL=C.UTF-8",
		"SYSTEMD_OFFLINE=1", "container=vauban", "DEBIAN_FRONTEND=noninteractive", "PYTHONDONTWRITEBYTECODE=1"}
	const options = `while [ "$1" = -e ]; do export "$2"; shift 2; done; pid=$0
exec nsenter --target "$pid" --mount --uts --ipc --net --pid --root --wd -- "$@"`
	enter := append(append([]string{"env", "-i"}, environment...), "sh", "-c", options, strconv.Itoa(pid))
	return box{target{name: name, enter: enter, environment: environment}, filepath.Join(dir, "upper")}
}

// read returns a file that was written inside.
func (b box) read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.upper, path))
	if err != nil {
		t.Fatalf("%s: %v", b.name, err)
	}
	return string(data)
}

// changed lists the paths that the layer would hold.
func (b box) changed(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(b.upper, func(path string, d os.DirEntry, err error) error {
		if err == nil && path != b.upper {
			paths = append(paths, strings.TrimPrefix(path, b.upper))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// files holds the content of all files that were written inside.
func (b box) files(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, path := range b.changed(t) {
		if info, err := os.Lstat(filepath.Join(b.upper, path)); err == nil && info.Mode().IsRegular() {
			files[path] = b.read(t, path)
		}
	}
	return files
}

// output runs a program on the builder.
func output(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v", argv, err)
	}
	return string(out)
}
