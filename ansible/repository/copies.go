package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"vauban/internal/filelock"
)

// Copies are the working copies of one process.
type Copies struct {
	mirror  *Mirror
	rootDir string
	dir     string // private to this process, removed by Close
	unlock  func() // gives dir free for sweeping

	mu       sync.Mutex
	pristine map[string]*Copy // by commit
}

func openCopies(ctx context.Context, m *Mirror, o Options) (*Copies, error) {
	dir, unlock, err := privateDir(ctx, filepath.Join(o.StateDir, "ansible"))
	if err != nil {
		return nil, err
	}
	return &Copies{mirror: m, rootDir: o.RootDir, dir: dir, unlock: unlock, pristine: map[string]*Copy{}}, nil
}

// Close removes the working copies. The mirror stays for the next run.
func (c *Copies) Close() error {
	defer c.unlock()
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("removing the working copies: %w", err)
	}
	return nil
}

// Dir is private to this process, and removed by Close.
func (c *Copies) Dir() string { return c.dir }

// RootDir is the folder of the repository that ansible runs in: "." for the top.
func (c *Copies) RootDir() string { return c.rootDir }

// Pristine returns the working copy that is never written to, made once.
func (c *Copies) Pristine(ctx context.Context, commit string) (*Copy, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made, ok := c.pristine[commit]; ok {
		return made, nil
	}
	made := c.at(filepath.Join(c.dir, "pristine-"+commit), commit)
	if err := c.mirror.checkout(ctx, made); err != nil {
		return nil, errors.Join(fmt.Errorf("checking out %.12s: %w", commit, c.mirror.failed(ctx, err)), made.Remove())
	}
	if info, err := os.Stat(made.Root); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("commit %.12s has no folder %q: correct ANSIBLE_ROOT_DIR", commit, c.rootDir)
	}
	c.pristine[commit] = made
	return made, nil
}

// Private makes a working copy for one run, which may write to it.
func (c *Copies) Private(ctx context.Context, commit string) (*Copy, error) {
	source, err := c.Pristine(ctx, commit)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(c.dir, "run-")
	if err != nil {
		return nil, fmt.Errorf("making a working copy: %w", err)
	}
	made := c.at(dir, commit)
	out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", source.Tree, made.Tree).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("making a working copy: %w: %s", err, out)
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return made, nil
}

func (c *Copies) at(dir, commit string) *Copy {
	tree := filepath.Join(dir, "repository")
	return &Copy{Dir: dir, Tree: tree, Root: filepath.Join(tree, c.rootDir), Commit: commit}
}

// checkout fills a working copy.
func (m *Mirror) checkout(ctx context.Context, c *Copy) error {
	steps := [][]string{
		{"clone", "--quiet", "--shared", "--no-checkout", "--", m.dir, c.Tree},
		// submodules are often named relative to it
		{"-C", c.Tree, "remote", "set-url", "origin", m.remote.url},
		{"-C", c.Tree, "checkout", "--quiet", "--detach", c.Commit},
	}
	parent := filepath.Dir(c.Dir)
	for _, args := range steps {
		if _, err := m.remote.run(ctx, parent, args...); err != nil {
			return err
		}
	}
	if !isFile(filepath.Join(c.Tree, ".gitmodules")) {
		return nil
	}
	args := []string{"-C", c.Tree, "-c", "protocol.file.allow=" + m.remote.allowFile(),
		"submodule", "--quiet", "update", "--init", "--recursive"}
	if _, err := m.remote.run(ctx, parent, args...); err != nil {
		return fmt.Errorf("fetching submodules: %w", err)
	}
	return nil
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
