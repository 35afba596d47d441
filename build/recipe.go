package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	dockerfiles "vauban/Dockerfiles"
	"vauban/layers"
)

// recipe is one of our Dockerfiles as a step, with its context on disk and
// its log open.
type recipe struct {
	layers.Dockerfile
	log     *os.File
	context string // a temporary copy; "" for a user's own folder
}

func (r *recipe) close() error {
	err := r.log.Close()
	if r.context != "" {
		err = errors.Join(err, os.RemoveAll(r.context))
	}
	return err
}

// recipe makes a step of one of our Dockerfiles, or of the user's own of the
// same name in Dockerfiles/ beside config.yml. Its context is ours, overlaid
// with the user's files, and more.
func (r *Runner) recipe(name string, args map[string]string, logName string, more map[string]fs.FS) (_ *recipe, err error) {
	step := &recipe{}
	if step.context, err = os.MkdirTemp(r.work, "context-"); err != nil {
		return nil, err
	}
	sources := map[string]fs.FS{".": dockerfiles.FS}
	for dir, files := range more {
		sources[dir] = files
	}
	for dir, files := range sources {
		if err := writeTree(filepath.Join(step.context, dir), files); err != nil {
			return nil, fmt.Errorf("writing the context of %q: %w", name, err)
		}
	}
	own := filepath.Join(r.Config.Dir, "Dockerfiles")
	if _, err := os.Stat(own); err == nil {
		if err := writeTree(step.context, os.DirFS(own)); err != nil {
			return nil, fmt.Errorf("writing the context of %q: %w", name, err)
		}
	}
	content, err := os.ReadFile(filepath.Join(step.context, name))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if step.log, err = r.logFile(logName); err != nil {
		return nil, err
	}
	step.Dockerfile = layers.Dockerfile{Name: name, Content: content, Context: step.context, Args: args,
		CacheDir: filepath.Join(r.StateDir, "cache"), Log: step.log}
	return step, nil
}

// writeTree writes files out with plain modes: directories 0755, files 0644,
// and 0755 for those that say so.
func writeTree(dir string, files fs.FS) error {
	return fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, path)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644|info.Mode().Perm()&0o111)
	})
}
