package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"vauban/internal/command"
)

// hook is what a hook is told of the run.
type hook struct{ master, stage, hosts string }

// runHook runs a script of the user's on the builder, in the working copy.
func (r *Controller) runHook(ctx context.Context, w *workspace, name, script string, h hook, log io.Writer) error {
	if script == "" {
		return nil
	}
	said := &command.Tail{}
	output := io.Writer(said)
	if log != nil {
		output = io.MultiWriter(said, log)
	}
	err := process{
		argv: []string{"bash", "-e", "-c", script},
		dir:  w.Root,
		env: append(slices.Clone(r.options.Repository.Environ),
			"VAUBAN_MASTER="+h.master, "VAUBAN_STAGE="+h.stage, "VAUBAN_HOSTS="+h.hosts),
		output: output,
		mark:   w.mark, // the second hook may need what the first one started
	}.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, errors.Join(err, errorText(said.String())))
	}
	return nil
}

// errorText is what a program said, as an error; nil when it said nothing.
func errorText(said string) error {
	if said == "" {
		return nil
	}
	return errors.New(said)
}
