package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vauban/config"
	"vauban/internal/command"
	"vauban/layers"
	"vauban/layers/enter"
	"vauban/registry"
)

func newShell(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "shell IMAGE[:TAG|@DIGEST] [-- COMMAND...]",
		Short: "Run a command, or a shell, in a throw-away container of an image",
		Long: `Run a command, or a shell, in a throw-away container of an image.

It sees what a playbook would see. Nothing that it changes is kept.`,
		Example: `  vauban shell master-12-web
  vauban shell master-12-web/web01 -- cat /etc/hostname`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			step := terminal{args: args[1:], in: cmd.InOrStdin(), out: unprinted(cmd), err: cmd.ErrOrStderr()}
			if len(step.args) == 0 {
				step.args = []string{"/bin/sh", "-c", `command -v bash >/dev/null && exec bash -l; exec sh -l`}
			}
			return a.withEngine(cmd, func(ctx context.Context, s *session) error {
				img, err := s.image(ctx, args[0])
				if err != nil {
					return err
				}
				return s.engine.Try(ctx, step, layers.Target{Parent: img, ContainerOptions: layers.ContainerOptions{Name: shellHost(args[0])}},
					func(*layers.Container) error { return nil })
			})
		},
	}
}

// shellHost is the host name inside: the last part of the image's name.
func shellHost(reference string) string {
	name, _ := registry.SplitReference(reference)
	name = name[strings.LastIndexByte(name, '/')+1:]
	return strings.ReplaceAll(name[:min(len(name), 64)], "_", "-")
}

// terminal is a step that gives a command the caller's terminal. It is only
// tried, never committed.
type terminal struct {
	args     []string
	in       io.Reader
	out, err io.Writer
}

// Key says that what a person types is never the same.
func (terminal) Key(context.Context, string) (digest.Digest, error) {
	return digest.FromString(time.Now().String()), nil
}

// Run runs the command in the first container. The command's process group
// gets the terminal, so that keys reach it and not this program.
func (t terminal) Run(ctx context.Context, containers []*layers.Container) error {
	o := enter.Options{Group: true}
	if term := os.Getenv("TERM"); term != "" {
		o.Env = []string{"TERM=" + term}
	}
	argv := slices.Concat(containers[0].Enter(), o.Words(), t.args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.in, t.out, t.err
	cmd.Env = config.WithoutSecrets(os.Environ())
	command.Group(cmd, syscall.SIGKILL, 5*time.Second)
	if file, ok := t.in.(*os.File); ok && isTerminal(file) {
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, int(file.Fd())
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %q: %w", t.args[0], err)
	}
	return nil
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
