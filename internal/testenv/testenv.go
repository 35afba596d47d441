// Package testenv gives integration tests the real thing: a private
// containerd with its own state, and a base system that is bootstrapped once
// for all packages of a test run.
package testenv

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/filelock"
	"vauban/layers"
	"vauban/layers/daemon"
)

// Main is what TestMain calls: the embedded containerd and its shims are the
// test binary itself, run again.
func Main(m *testing.M) {
	if daemon.Dispatch(os.Args) {
		return
	}
	os.Exit(m.Run())
}

// Log gives a logger whose lines are printed with the test that failed.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Engine opens a private engine, which ends with the test.
func Engine(t testing.TB, stateDir string) *layers.Engine {
	t.Helper()
	e, err := layers.Open(t.Context(), layers.Options{StateDir: stateDir, Embedded: true, Version: "test", Log: Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("closing the engine: %v", err)
		}
	})
	return e
}

// Base imports the shared base system: a minimal Debian 12 with python3, sudo
// and systemd's files.
func Base(t testing.TB, e *layers.Engine) layers.Image {
	t.Helper()
	tar, err := os.Open(BaseTar(t))
	if err != nil {
		t.Fatal(err)
	}
	defer tar.Close()
	img, err := e.ImportRootfs(t.Context(), tar, ocispec.ImageConfig{}, layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "mmdebstrap"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// basePackages are in the base besides what every Debian has.
const basePackages = "python3,python3-apt,sudo,systemd-sysv,procps,iproute2,iptables,nftables,kmod,ca-certificates,rsync"

// leanHook removes what no test reads: a quarter of what each would import.
const leanHook = `rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/usr/lib/*/gconv`

// BaseTar is the shared base system as a tar. It is made once, in the folder
// that VAUBAN_TEST_DIR names, or in one below the temporary directory.
func BaseTar(t testing.TB) string {
	t.Helper()
	dir := SharedDir(t)
	lock, err := filelock.Open(t.Context(), filepath.Join(dir, "base.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	// A base with other packages is another file.
	path := filepath.Join(dir, "base-"+digest.FromString(basePackages + leanHook).Encoded()[:12]+".tar")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "mmdebstrap", "--quiet", "--format=tar", "--variant=minbase",
		"--include="+basePackages, "--customize-hook="+leanHook, "bookworm", path+".new")
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("bootstrapping a base: %v: %s", err, said.String())
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// SharedDir is where one test run keeps what several packages use.
func SharedDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("VAUBAN_TEST_DIR")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "vauban-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
