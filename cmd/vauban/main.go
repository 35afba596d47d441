// Command vauban builds everything that a fleet of network-booted machines
// boots: images, per-host configuration, kernels and initramfs, published as
// a tree for PXE servers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"vauban/layers/daemon"
	"vauban/progress"
)

// version is that of the newest release in CHANGELOG.md.
var version = "0.1.0"

// commit is what this program was built from; the Makefile sets it.
var commit = "unknown"

// built is the version and the commit, by which a run knows whether a containerd
// that still runs is its own.
func built() string { return version + "+" + commit }

func main() {
	if daemon.Dispatch(os.Args) {
		return
	}
	os.Exit(run(os.Args[1:]))
}

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitDiffers     = 3
	exitInterrupted = 130
)

// errInterrupted is why the context of a run that got a signal ends.
var errInterrupted = errors.New("interrupted")

func run(args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stderr := &console{file: os.Stderr}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(stderr, "vauban: interrupted; cleaning up (interrupt again to exit immediately)")
		cancel(errInterrupted)
		<-signals
		os.Exit(exitInterrupted)
	}()
	root := newRoot()
	root.SetArgs(args)
	root.SetErr(stderr)
	root.SetOut(&printed{w: os.Stdout})
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted
	}
	if errors.Is(err, errDiffers) {
		return exitDiffers // what differs is printed
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(stderr, progress.Printable(usage.Error()))
		return exitUsage
	}
	fmt.Fprintln(stderr, "vauban:", progress.Printable(permitted(err).Error()))
	return exitFailed
}

// permitted says of a file that is not for everybody what to do about it.
func permitted(err error) error {
	if !errors.Is(err, fs.ErrPermission) || os.Geteuid() == 0 {
		return err
	}
	return fmt.Errorf("%w: run vauban with sudo, or name a state directory of yours with --state DIR", err)
}

// errDiffers is the end of a command that found what --exit-code asks for.
var errDiffers = errors.New("it differs")

// exitCodeFlag adds --exit-code.
func exitCodeFlag(cmd *cobra.Command, asked *bool, when string) {
	cmd.Flags().BoolVar(asked, "exit-code", false, "exit with code 3 when "+when)
}

// usageError is a mistake in the command line or the configuration.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}
