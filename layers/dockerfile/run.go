package dockerfile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"vauban/layers"

	docker "github.com/fsouza/go-dockerclient"
	"github.com/openshift/imagebuilder"

	"vauban/internal/beneath"
)

// Run executes RUN.
func (b *dockerBuild) Run(run imagebuilder.Run, config docker.Config) (err error) {
	mounts, err := parseRunMounts(run, b.Secrets)
	if err != nil {
		return err
	}
	undo, err := b.mountAll(mounts, config.WorkingDir)
	defer func() { err = errors.Join(err, undo()) }()
	if err != nil {
		return err
	}
	argv, remove, err := b.command(run, config.Shell)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	b.log.last = nil
	err = b.container.Exec(b.ctx, layers.Process{
		Args: argv, Env: config.Env, Dir: config.WorkingDir, User: config.User,
		Stdout: b.log, Stderr: b.log,
	})
	if err := errors.Join(context.Cause(b.ctx), err, b.log.flush()); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(b.log.last, "\n"))
	}
	return nil
}

// command is what RUN executes, and what is to be done after it.
func (b *dockerBuild) command(run imagebuilder.Run, shell []string) (argv []string, remove func() error, err error) {
	nothing := func() error { return nil }
	if !run.Shell {
		return run.Args, nothing, nil
	}
	if script, ok := wholeScript(run); ok && strings.HasPrefix(script, "#!") {
		name, err := b.writeScript(script)
		return []string{name}, func() error { return b.container.Inside(func() error { return os.Remove(name) }) }, err
	}
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(append([]string{}, shell...), shellScript(run)), nothing, nil
}

// wholeScript is the here-document that is all that RUN holds.
func wholeScript(run imagebuilder.Run) (string, bool) {
	if len(run.Files) != 1 || len(run.Args) != 1 {
		return "", false
	}
	word := strings.Trim(strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(run.Args[0]), "<<"), "-"), `"'`)
	return heredoc(run.Files[0]), word == run.Files[0].Name
}

// shellScript gives the shell its here-documents, which the parser took out.
func shellScript(run imagebuilder.Run) string {
	if script, ok := wholeScript(run); ok {
		return script
	}
	script := strings.Join(run.Args, " ")
	for _, file := range run.Files {
		script += "\n" + heredoc(file) + file.Name
	}
	return script
}

// writeScript makes a script a program of its own, in a place that is in no
// layer.
func (b *dockerBuild) writeScript(script string) (string, error) {
	name := path.Join("/run", "vauban-run-"+rand.Text())
	return name, b.container.Inside(func() error {
		_, err := beneath.Replace("/", name, []byte(script), 0o755)
		return err
	})
}
