//go:build integration

package layers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/layers/daemon"
)

// TestMain makes the test binary containerd, its shim or another vauban,
// when it was started as one of them.
func TestMain(m *testing.M) {
	if daemon.Dispatch(os.Args) {
		return
	}
	if becomeChild(os.Args) {
		return
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "closing the shared engine:", err)
		code = 1
	}
	os.Exit(code)
}

// shared is one engine with the base, for tests that need none of their own:
// importing the base takes longer than most of them.
var shared sharedEngine

type sharedEngine struct {
	once   sync.Once
	dir    string
	engine *layers.Engine
	base   layers.Image
	err    error
}

// use gives the shared engine and base; the first caller makes them.
func (s *sharedEngine) use(t testing.TB) (*layers.Engine, layers.Image) {
	t.Helper()
	s.once.Do(func() { s.err = s.open(testenv.BaseTar(t)) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.engine, s.base
}

func (s *sharedEngine) open(baseTar string) (err error) {
	if s.dir, err = os.MkdirTemp("", "vauban-layers-"); err != nil {
		return err
	}
	s.engine, err = openEngine(s.dir)
	if err != nil {
		return err
	}
	s.base, err = importBase(context.Background(), s.engine, baseTar)
	return err
}

func (s *sharedEngine) close() error {
	if s.engine == nil {
		return os.RemoveAll(s.dir)
	}
	return errors.Join(s.engine.Close(), os.RemoveAll(s.dir))
}

// openEngine is for engines that outlive a test: their log goes to standard
// error, which go test shows when something failed.
func openEngine(stateDir string) (*layers.Engine, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return layers.Open(context.Background(), layers.Options{StateDir: stateDir, Embedded: true, Version: "test", Log: log})
}

func importBase(ctx context.Context, e *layers.Engine, tarFile string) (layers.Image, error) {
	tar, err := os.Open(tarFile)
	if err != nil {
		return layers.Image{}, err
	}
	defer tar.Close()
	return e.ImportRootfs(ctx, tar, ocispec.ImageConfig{}, layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "mmdebstrap"})
}

// live hands a running container to fn and forgets what happened in it.
func live(t testing.TB, e *layers.Engine, to layers.Target, fn func(c *layers.Container)) {
	t.Helper()
	err := e.Try(t.Context(), script("true"), to, func(c *layers.Container) error {
		fn(c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sh runs a script inside and returns what it printed, both streams.
func sh(t testing.TB, c *layers.Container, script string) (string, error) {
	t.Helper()
	var said bytes.Buffer
	err := c.Exec(t.Context(), layers.Process{Args: []string{"/bin/sh", "-c", script}, Stdout: &said, Stderr: &said})
	return strings.TrimSpace(said.String()), err
}

// mustSh is sh for what cannot fail.
func mustSh(t *testing.T, c *layers.Container, script string) string {
	t.Helper()
	said, err := sh(t, c, script)
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, said)
	}
	return said
}
