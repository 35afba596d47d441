//go:build integration

package robust

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/layers/daemon"
	"vauban/registry"
)

func TestMain(m *testing.M) {
	if daemon.Dispatch(os.Args) { // this test's own engine
		return
	}
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// version is that of the program under test, and of this one where it shares
// the other's containerd.
const version = "robust+test"

// world is a user's machine: configuration, playbooks, state and what is
// published. Several worlds may share parts, as machines do.
type world struct {
	dir     string // of the configuration
	state   string
	pxe     string // UPLOAD_DIR
	temp    string // TMPDIR, by which this world's processes are known
	program string
	env     []string
	disks   []string // mounts of the test's own
}

const config = `
configuration:
  ansible_repo: playbooks
suite:
  release: bookworm
  name: base/iso
  one:
    stages: [one.yml]
    conffs: "one*"
    export: {exclude: lean.txt, level: 1}
    two:
      stages: [two.yml]
      conffs: "two*"
      export: {exclude: lean.txt, level: 1}
`

// playbook leaves in masters what a kernel's modules are looked for by.
const playbook = `
- hosts: all
  gather_facts: false
  tasks:
    - raw: mkdir -p /srv/%[1]s /usr/lib/modules/1.0/kernel && echo {{ round }} >/srv/%[1]s/master
      when: not in_conffs_build
    - raw: echo {{ round }} {{ inventory_hostname }} >/srv/%[1]s/host && sleep 0.2
`

// initramfs is a kernel that boots nothing, in a hundredth of the time.
const initramfs = `ARG SOURCE
FROM ${SOURCE}
ARG KERNEL_VERSION=
RUN mkdir /boot-out && echo kernel $KERNEL_VERSION >/boot-out/vmlinuz && cat /srv/one/master >/boot-out/initramfs.img
`

// build is the command that makes everything of this world.
var build = []string{"build", "one", "two"}

// built is the folder that holds the program, once it is built.
var built string

// program builds the program once, as users have it.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vauban-robust-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "vauban")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=robust -X main.commit=test", "-o", path, "vauban/cmd/vauban")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("building the program: %w: %s", err, out)
	}
	return path, err
})

// newWorld makes a machine that has its base, and nothing built on it.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := bareWorld(t, t.TempDir())
	w.importBase(t, "")
	return w
}

// bareWorld makes a machine below dir that has no base.
func bareWorld(t *testing.T, dir string) *world {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{program: path, dir: dir, state: filepath.Join(dir, "state"), pxe: filepath.Join(dir, "pxe"), temp: filepath.Join(dir, "tmp")}
	for name, text := range map[string]string{
		"config.yml":                       config,
		"lean.txt":                         "usr/bin/*\nusr/sbin/*\nusr/share/*\nusr/lib/[a-ln-z]*/*\nvar/lib/*\n",
		"Dockerfiles/Dockerfile.initramfs": initramfs,
		"playbooks/one.yml":                fmt.Sprintf(playbook, "one"),
		"playbooks/two.yml":                fmt.Sprintf(playbook, "two"),
		"playbooks/hosts":                  "one01\none02\ntwo01\n",
		"playbooks/ansible.cfg":            "[defaults]\ninventory = hosts\n",
		"playbooks/group_vars/all.yml":     "round: 0\n",
		"tmp/.keep":                        "",
	} {
		w.write(t, name, text)
	}
	w.git(t, "init", "--quiet", "--initial-branch=main")
	w.git(t, "config", "user.name", "test")
	w.git(t, "config", "user.email", "test@example.com")
	w.commit(t)
	w.env = append(os.Environ(), "VAUBAN_STATE_DIR="+w.state, "UPLOAD_DIR="+w.pxe, "TMPDIR="+w.temp, "DEBIAN_CACHE_PATH="+testenv.AptPool(t), "VAULTED_SSHD_KEYS_KEY=robust")
	return w
}

func (w *world) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) git(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = filepath.Join(w.dir, "playbooks")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

func (w *world) commit(t *testing.T) {
	t.Helper()
	w.git(t, "add", ".")
	w.git(t, "commit", "--quiet", "--allow-empty", "--message=all")
}

// turn changes what the playbooks do, so that nothing stays as it was.
func (w *world) turn(t *testing.T, round int) {
	t.Helper()
	w.write(t, "playbooks/group_vars/all.yml", fmt.Sprintf("round: %d\n", round))
	w.commit(t)
}

// importBase gives the machine, and a registry, the base under the name that
// a build of it would give.
func (w *world) importBase(t *testing.T, hostname string) {
	t.Helper()
	testenv.Plant(t, w.state, testenv.Lean)
	engine, err := layers.Open(t.Context(), layers.Options{StateDir: w.state, Embedded: true, Version: version, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	images, err := registry.Open(t.Context(), registry.Options{Hostname: hostname, StateDir: w.state, BlobPath: engine.BlobPath})
	if err != nil {
		t.Fatal(err)
	}
	defer images.Close()
	img := testenv.Base(t, engine)
	stamp := registry.Timestamp(time.Now().Add(-time.Hour))
	_, err = images.Push(engine.Context(t.Context()), "base/iso", img.Descriptor, engine.Store(), registry.PushOptions{Tags: []string{stamp, registry.Latest}})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.SetImage(t.Context(), "base/iso", img); err != nil {
		t.Fatal(err)
	}
}

// run is the program at work.
type run struct {
	*exec.Cmd
	said  *output
	ended chan struct{}
}

// start starts the program. It is killed at the test's end at the latest.
func (w *world) start(t *testing.T, args ...string) *run {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.program, args...)
	said := &output{line: make(chan string, 1000)}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.dir, w.env, said, said
	cmd.WaitDelay = 5 * time.Second // a killed run's children may hold the pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &run{Cmd: cmd, said: said, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state tells
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // may have ended
		<-r.ended
	})
	return r
}

// code waits for the end and gives the exit code, -1 for a signal.
func (r *run) code() int {
	<-r.ended
	return r.ProcessState.ExitCode()
}

// must runs the program, which must succeed.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	r := w.start(t, args...)
	if code := r.code(); code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, r.said)
	}
	return r.said.String()
}

// output is what a program says, and tells of each line.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	line chan string // as many as fit
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(string(p)) {
		select {
		case o.line <- line:
		default:
		}
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
