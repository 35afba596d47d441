// Package recipes reads the Dockerfiles that vauban runs: its own, or the user's
// of the same name in Dockerfiles/ next to config.yml, and those of stages.
package recipes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"vauban/layers/dockerfile"

	dockerfiles "vauban/Dockerfiles"
	"vauban/boot"
	"vauban/config"
)

// InitramfsArguments are the build arguments of Dockerfile.initramfs for a kernel
// of a base.
func InitramfsArguments(base, version string) map[string]string {
	return map[string]string{"SOURCE": base, "KERNEL_VERSION": version}
}

// InitramfsContext is what Dockerfile.initramfs copies besides our Dockerfiles: the
// dracut modules.
func InitramfsContext() map[string]fs.FS { return map[string]fs.FS{"modules.d": boot.DracutModules()} }

// InitramfsKey digests the recipe for a kernel of a master, with what it copies.
func InitramfsKey(ctx context.Context, cfg *config.Config, m *config.Master, version string, withheld []dockerfile.Withheld) (digest.Digest, error) {
	return Key(ctx, cfg, dockerfiles.Initramfs, InitramfsArguments(m.Base.Image(), version), InitramfsContext(), withheld)
}

// OfStage reads the Dockerfile of a stage; its context is its folder.
func OfStage(cfg *config.Config, stage config.Stage, withheld []dockerfile.Withheld) (dockerfile.Step, error) {
	path := cfg.Resolve(stage.Dockerfile)
	content, err := os.ReadFile(path)
	if err != nil {
		return dockerfile.Step{}, fmt.Errorf("%s: reading the stage's Dockerfile: %w", cfg.Place(stage.Pos), err)
	}
	return dockerfile.Step{Name: stage.Dockerfile, Content: content, Context: filepath.Dir(path), Withheld: withheld}, nil
}

// Write writes the context of a recipe below dir, without what is withheld.
func Write(cfg *config.Config, dir, name string, args map[string]string, more map[string]fs.FS, withheld []dockerfile.Withheld) (dockerfile.Step, error) {
	sources := map[string]fs.FS{".": dockerfiles.FS}
	for dir, files := range more {
		sources[dir] = files
	}
	for at, files := range sources {
		if err := writeTree(filepath.Join(dir, at), files, nil); err != nil {
			return dockerfile.Step{}, fmt.Errorf("writing the context of %q: %w", name, err)
		}
	}
	left, err := writeOwn(filepath.Join(cfg.Dir, "Dockerfiles"), dir, withheld)
	if err != nil {
		return dockerfile.Step{}, fmt.Errorf("writing the context of %q: %w", name, err)
	}
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return dockerfile.Step{}, fmt.Errorf("reading %q: %w", name, err)
	}
	return dockerfile.Step{Name: name, Content: content, Context: dir, Args: args, Withheld: left}, nil
}

// Key digests a recipe as its step does.
func Key(ctx context.Context, cfg *config.Config, name string, args map[string]string, more map[string]fs.FS, withheld []dockerfile.Withheld) (_ digest.Digest, err error) {
	dir, err := os.MkdirTemp("", "vauban-recipe-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	step, err := Write(cfg, dir, name, args, more, withheld)
	if err != nil {
		return "", err
	}
	return step.Key(ctx, "")
}

// writeOwn writes the user's files into a recipe's context, and returns what it
// left out, by the names that it would have there.
func writeOwn(own, dir string, withheld []dockerfile.Withheld) (left []dockerfile.Withheld, err error) {
	if _, err := os.Stat(own); err != nil {
		return nil, nil
	}
	leave := dockerfile.WithholdIn(own, withheld)
	return left, writeTree(dir, os.DirFS(own), func(path string) bool {
		why := leave(path)
		if why != "" {
			left = append(left, dockerfile.Withheld{Path: filepath.Join(dir, path), Why: why})
		}
		return why != ""
	})
}

// BaseArguments are the build arguments of Dockerfile.base for a base.
func BaseArguments(b *config.Base) map[string]string {
	return map[string]string{"SOURCE": b.RawImage(), "KERNEL": b.Kernel}
}

// writeTree writes files out with plain modes: directories 0755, files 0644,
// and 0755 for those that say so. Leave shows which to leave out; nil: none.
func writeTree(dir string, files fs.FS, leave func(path string) bool) error {
	return fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if leave != nil && leave(path) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
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
