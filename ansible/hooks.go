package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"vauban/internal/command"
)

// hooks are the user's scripts, which run on the builder in the working copy
// before and after ansible. Empty: none.
type hooks struct {
	before, after string
	environ       []string
}

// occasion is why hooks run; their environment has it.
type occasion struct{ master, stage, hosts string }

func (h hooks) runBefore(ctx context.Context, w *workspace, why occasion, log io.Writer) error {
	return h.run(ctx, w, "HOOK_PRE_ANSIBLE", h.before, why, log)
}

func (h hooks) runAfter(ctx context.Context, w *workspace, why occasion, log io.Writer) error {
	return h.run(ctx, w, "HOOK_POST_ANSIBLE", h.after, why, log)
}

func (h hooks) run(ctx context.Context, w *workspace, name, script string, why occasion, log io.Writer) error {
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
		env: append(slices.Clone(h.environ),
			"VAUBAN_MASTER="+why.master, "VAUBAN_STAGE="+why.stage, "VAUBAN_HOSTS="+why.hosts),
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
