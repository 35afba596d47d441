package vault

import (
	"context"
	"errors"
	"os/exec"
	"strings"

	"vauban/internal/git"
)

// repository is git in a folder.
type repository struct {
	git.Git
	dir string
}

func (r repository) with(environ ...string) repository {
	return repository{r.With(environ...), r.dir}
}

// run returns what git printed, without the line break at its end.
func (r repository) run(ctx context.Context, arguments ...string) (string, error) {
	output, err := r.Run(ctx, r.dir, arguments...)
	return strings.TrimSuffix(output, "\n"), err
}

// ask is run for commands that answer with an exit code: no is the one that
// means that there is no answer.
func (r repository) ask(ctx context.Context, no int, arguments ...string) (answer string, ok bool, err error) {
	answer, err = r.run(ctx, arguments...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == no {
		return "", false, nil
	}
	return answer, err == nil, err
}
