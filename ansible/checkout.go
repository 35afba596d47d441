package ansible

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"vauban/internal/filelock"
)

// workingCopy is the repository's files at one commit.
type workingCopy struct {
	dir    string // holds tree and what else its run needs
	tree   string // the repository's top
	root   string // where ansible runs
	commit string
	mark   string // of processes that hooks started in it
}

func (r *Repository) workingCopy(dir, commit string) *workingCopy {
	tree := filepath.Join(dir, "repository")
	return &workingCopy{dir: dir, tree: tree, root: filepath.Join(tree, r.options.RootDir), commit: commit}
}

// pristine returns the working copy that nobody writes to, made once.
func (r *Repository) pristine(ctx context.Context, commit string) (*workingCopy, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.copies[commit]; ok {
		return c, nil
	}
	c := r.workingCopy(filepath.Join(r.dir, "pristine-"+commit), commit)
	if err := r.checkout(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("checking out %.12s: %w", commit, r.mirrorFailed(ctx, err)), os.RemoveAll(c.dir))
	}
	if info, err := os.Stat(c.root); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("commit %.12s has no folder %q: correct ANSIBLE_ROOT_DIR", commit, r.options.RootDir)
	}
	r.copies[commit] = c
	return c, nil
}

func (r *Repository) checkout(ctx context.Context, c *workingCopy) error {
	steps := [][]string{
		{"clone", "--quiet", "--shared", "--no-checkout", "--", r.mirror, c.tree},
		// submodules are often named relative to it
		{"-C", c.tree, "remote", "set-url", "origin", r.remote.url},
		{"-C", c.tree, "checkout", "--quiet", "--detach", c.commit},
	}
	for _, args := range steps {
		if _, err := r.remote.run(ctx, r.dir, args...); err != nil {
			return err
		}
	}
	if !isFile(filepath.Join(c.tree, ".gitmodules")) {
		return nil
	}
	// A path as the repository's URL makes paths of relative submodules,
	// which git refuses unless told that the user named them.
	args := []string{"-C", c.tree, "-c", "protocol.file.allow=" + r.allowFile(),
		"submodule", "--quiet", "update", "--init", "--recursive"}
	if _, err := r.remote.run(ctx, r.dir, args...); err != nil {
		return fmt.Errorf("fetching submodules: %w", err)
	}
	return nil
}

func (r *Repository) allowFile() string {
	if r.remote.path != "" {
		return "always"
	}
	return "user"
}

// private makes a working copy for one run, which may write to it, and returns
// how to remove it, with what hooks left running.
func (r *Repository) private(ctx context.Context, commit string) (*workingCopy, func() error, error) {
	source, err := r.pristine(ctx, commit)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a working copy: %w", err)
	}
	c := r.workingCopy(dir, commit)
	c.mark = newMark()
	out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", source.tree, c.tree).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("making a working copy: %w: %s", err, out)
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, func() error {
		killMarked(c.mark)
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing a working copy: %w", err)
		}
		return nil
	}, nil
}

// privateDir makes a folder for this process below parent and removes those of
// processes that are gone: each holds the lock of its own while it lives.
func privateDir(ctx context.Context, parent string) (dir string, unlock func(), err error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", nil, fmt.Errorf("making the folder of working copies: %w", err)
	}
	// a folder that is not locked yet must not be swept
	lock, err := filelock.Open(ctx, filepath.Join(parent, "lock"))
	if err != nil {
		return "", nil, err
	}
	defer lock.Close()
	sweep(parent)
	if dir, err = os.MkdirTemp(parent, "vauban-"); err != nil {
		return "", nil, fmt.Errorf("making the folder of working copies: %w", err)
	}
	own, err := filelock.OpenDir(ctx, dir)
	if err != nil {
		return "", nil, err
	}
	return dir, func() { own.Close() }, nil
}

// sweep removes what dead processes left.
func sweep(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, "vauban-*"))
	for _, dir := range left {
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		if dead, _ := filelock.Try(f, filelock.Exclusive); dead {
			_ = os.RemoveAll(dir) // tried again by the next run
		}
		f.Close()
	}
}
