package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/version"
)

// errTerminated is why a daemon that got a signal ends.
var errTerminated = errors.New("terminated")

// run is the daemon: it serves until no run has been there for the linger
// time, or until a signal. It returns at once when there is another daemon.
func (p paths) run(ctx context.Context, vauban string, linger time.Duration) error {
	syscall.Umask(0o022)
	claim, err := p.claim(vauban)
	if err != nil || claim == nil {
		return err
	}
	defer claim.Close()
	if err := p.makeRuntime(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		cancel(errTerminated)
	}()
	idle, err := p.serveUntilIdle(ctx, linger)
	if errors.Is(err, errTerminated) {
		return nil
	} else if err != nil {
		return err
	}
	// Who starts now waits for idle, and makes it again.
	return errors.Join(p.removeRuntime(), idle.Close())
}

// serveUntilIdle returns with the runs' lock when the server has stopped: no
// run starts before, and none finds a server that is about to stop.
func (p paths) serveUntilIdle(ctx context.Context, linger time.Duration) (*os.File, error) {
	srv, err := p.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer srv.Stop()
	idle, err := p.waitIdle(ctx, linger)
	if err != nil {
		return nil, fmt.Errorf("waiting until no run is left: %w", err)
	}
	return idle, nil
}

// serve starts containerd in this process.
func (p paths) serve(ctx context.Context) (*server.Server, error) {
	config := p.config()
	if err := server.CreateTopLevelDirectories(config); err != nil {
		return nil, fmt.Errorf("making containerd's folders: %w", err)
	}
	if err := mount.SetTempMountLocation(filepath.Join(config.Root, "tmpmounts")); err != nil {
		return nil, fmt.Errorf("making the folder of temporary mounts: %w", err)
	}
	if _, err := mount.CleanupTempMounts(0); err != nil {
		return nil, fmt.Errorf("unmounting what a killed daemon left: %w", err)
	}
	srv, err := server.New(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("starting containerd %s: %w", version.Version, err)
	}
	if err := srv.Start(ctx); err != nil {
		srv.Stop()
		return nil, fmt.Errorf("listening: %w", err)
	}
	return srv, nil
}

func (p paths) config() *srvconfig.Config {
	return &srvconfig.Config{
		Version: version.ConfigVersion,
		Root:    p.root(),
		State:   p.runtimeState(),
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc":  map[string]any{"address": p.socket()},
			"io.containerd.server.v1.ttrpc": map[string]any{"address": p.socket() + ".ttrpc"},
		},
		RequiredPlugins: []string{
			"io.containerd.snapshotter.v1.overlayfs",
			"io.containerd.runtime.v2.task",
		},
		// These come with the gRPC server's package.
		DisabledPlugins: []string{
			"io.containerd.metrics.v1.grpc-otel",
			"io.containerd.metrics.v1.grpc-prometheus",
			"io.containerd.server.v1.grpc-tcp",
		},
	}
}
