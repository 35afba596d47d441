// Package testenv gives integration tests the real thing: a private
// containerd with its own state, and a base system that is bootstrapped once
// a day and imported once, for all packages.
package testenv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

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
	return engine(t, layers.Options{StateDir: stateDir})
}

// EngineWithBase opens a private engine that has the base, and packages' lists
// from where all such engines have them.
func EngineWithBase(t testing.TB, stateDir string) (*layers.Engine, layers.Image) {
	t.Helper()
	Plant(t, stateDir, Whole)
	e := engine(t, layers.Options{StateDir: stateDir, Apt: layers.AptOptions{Pool: AptPool(t)}})
	return e, Base(t, e)
}

func engine(t testing.TB, o layers.Options) *layers.Engine {
	t.Helper()
	o.Embedded, o.Version, o.Log = true, "test", Log(t)
	e, err := layers.Open(t.Context(), o)
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

// Base is the shared base system: a minimal Debian 12 with python3, sudo and
// systemd's files. Where none was planted, see [Plant], it is imported.
func Base(t testing.TB, e *layers.Engine) layers.Image {
	t.Helper()
	img, err := planted(t.Context(), e)
	if errdefs.IsNotFound(err) {
		img, err = importBase(t.Context(), e, BaseTar(t), Whole)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// planted is the base that a state directory was made with. It loses its
// name: as after an import, nothing keeps it but this run.
func planted(ctx context.Context, e *layers.Engine) (layers.Image, error) {
	img, err := e.Image(ctx, seedImage)
	if err != nil {
		return layers.Image{}, err
	}
	return img, e.RemoveImages(ctx, seedImage+":latest")
}

// basePackages are in the base besides what every Debian has.
const basePackages = "python3,python3-apt,sudo,systemd-sysv,procps,iproute2,iptables,nftables,kmod,ca-certificates,rsync"

// leanHook removes what no test reads: a quarter of what each would import.
const leanHook = `rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/usr/lib/*/gconv`

// baseLife is how long a base is used: then its packages are too old for what
// the mirror has.
const baseLife = 24 * time.Hour

// BaseTar is the shared base system as a tar, of today.
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
	if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) < baseLife {
		return path
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "mmdebstrap", "--quiet", "--format=tar", "--variant=minbase",
		"--include="+basePackages, "--customize-hook="+leanHook, "bookworm", path+".new")
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("bootstrapping a base: %v: %s", err, said.String())
	}
	if err := errors.Join(os.RemoveAll(aptPool(path)), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	return path
}

// AptPool is a pool of packages and of their lists, for engines whose own pool
// no test looks at: a pool of its own has to fetch the lists first.
func AptPool(t testing.TB) string {
	t.Helper()
	// Lists are of the day of the base: older ones name packages that are gone.
	return aptPool(BaseTar(t))
}

func aptPool(baseTar string) string { return strings.TrimSuffix(baseTar, ".tar") + ".apt" }

// SharedDir is where bases are kept, for all packages and from one test run to
// the next: what VAUBAN_TEST_DIR names, or a folder among the user's caches.
// Whoever removes it while no test runs loses nothing but time.
func SharedDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("VAUBAN_TEST_DIR")
	if dir == "" {
		dir = filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), "/var/cache"), "vauban-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
