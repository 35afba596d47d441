package repository

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vauban/internal/damage"
	"vauban/internal/git"
	"vauban/internal/sealed"
)

// CheckState checks what a state directory keeps of repositories: the mirrors
// of playbooks, and the roles and collections that were installed. No run may
// be at work.
func CheckState(ctx context.Context, stateDir string) ([]damage.Finding, error) {
	mirrors, err := filepath.Glob(filepath.Join(stateDir, "git", "*.git"))
	if err != nil {
		return nil, err
	}
	var found []damage.Finding
	for _, dir := range mirrors {
		f, err := checkMirror(ctx, git.New(os.Environ()), dir)
		if err != nil {
			return nil, err
		}
		found = append(found, f...)
	}
	caches, err := sealed.Damaged(ctx, damage.Collection, filepath.Join(stateDir, "galaxy", "*"))
	return append(found, caches...), err
}

// checkMirror reads all objects of a mirror.
func checkMirror(ctx context.Context, g git.Git, dir string) ([]damage.Finding, error) {
	_, err := g.Run(ctx, dir, "--git-dir=.", "fsck", "--full", "--no-dangling", "--no-progress")
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	failed, isDamaged := errors.AsType[*git.Error](err)
	if !isDamaged {
		return nil, err
	}
	first, _, _ := strings.Cut(failed.Said, "\n")
	return []damage.Finding{{Kind: damage.Mirror, Path: dir, Err: fmt.Errorf("git fsck: %s", first),
		Remove: func() error { return os.RemoveAll(dir) }}}, nil
}
