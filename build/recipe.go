package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	dockerfiles "vauban/Dockerfiles"
	"vauban/config"
	"vauban/layers"
)

// recipe is one of our Dockerfiles as a step, with its context on disk and
// its log open.
type recipe struct {
	layers.Dockerfile
	log     io.WriteCloser
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
	if step.Dockerfile, err = newRecipe(r.Config, step.context, name, args, more); err != nil {
		return nil, err
	}
	if step.log, err = r.logFile(logName); err != nil {
		return nil, err
	}
	step.CacheDir, step.Log = filepath.Join(r.StateDir, "cache"), step.log
	return step, nil
}

// newRecipe writes the context of a recipe below dir.
func newRecipe(cfg *config.Config, dir, name string, args map[string]string, more map[string]fs.FS) (layers.Dockerfile, error) {
	sources := map[string]fs.FS{".": dockerfiles.FS}
	for dir, files := range more {
		sources[dir] = files
	}
	for at, files := range sources {
		if err := writeTree(filepath.Join(dir, at), files); err != nil {
			return layers.Dockerfile{}, fmt.Errorf("writing the context of %q: %w", name, err)
		}
	}
	own := filepath.Join(cfg.Dir, "Dockerfiles")
	if _, err := os.Stat(own); err == nil {
		if err := writeTree(dir, os.DirFS(own)); err != nil {
			return layers.Dockerfile{}, fmt.Errorf("writing the context of %q: %w", name, err)
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return layers.Dockerfile{}, fmt.Errorf("reading %q: %w", name, err)
	}
	return layers.Dockerfile{Name: name, Content: content, Context: dir, Args: args}, nil
}

// recipeKey digests a recipe as its step does.
func recipeKey(ctx context.Context, cfg *config.Config, name string, args map[string]string, more map[string]fs.FS) (_ digest.Digest, err error) {
	dir, err := os.MkdirTemp("", "vauban-recipe-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	step, err := newRecipe(cfg, dir, name, args, more)
	if err != nil {
		return "", err
	}
	return step.Key(ctx, "")
}

func baseArguments(b *config.Base) map[string]string {
	return map[string]string{"SOURCE": b.RawImage(), "KERNEL": b.Kernel}
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
