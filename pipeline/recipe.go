package pipeline

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"vauban/layers/dockerfile"
	"vauban/pipeline/recipes"
)

// recipe is one of our Dockerfiles as a step, with its context on disk and
// its log open.
type recipe struct {
	dockerfile.Step
	log     io.WriteCloser
	context string // a temporary copy; "" for a user's own folder
}

// Close closes the log and removes the context.
func (r *recipe) Close() error {
	err := r.log.Close()
	if r.context != "" {
		err = errors.Join(err, os.RemoveAll(r.context))
	}
	return err
}

// recipe makes a step of one of our Dockerfiles, or of the user's own of the
// same name in Dockerfiles/ next to config.yml. Its context is ours, overlaid
// with the user's files, and more.
func (j *job) recipe(name string, args map[string]string, logName string, more map[string]fs.FS) (_ *recipe, err error) {
	step := &recipe{}
	if step.context, err = os.MkdirTemp(j.work, "context-"); err != nil {
		return nil, err
	}
	if step.Step, err = recipes.Write(j.Config, step.context, name, args, more, j.withheld); err != nil {
		return nil, err
	}
	for _, left := range step.Withheld {
		j.Log.Warn("left out of the build context", "file", filepath.Base(left.Path), "reason", left.Why, "for", name)
	}
	if step.log, err = j.logs.open(logName); err != nil {
		return nil, err
	}
	step.CacheDir, step.Log = filepath.Join(j.StateDir, "cache"), step.log
	return step, nil
}
