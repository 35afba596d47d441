package repository

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"vauban/internal/damage"
	"vauban/internal/filelock"
	"vauban/internal/git"
	"vauban/internal/memo"
)

// Mirror is a bare repository below the state directory that has all commits of
// the user's, as they were when it was brought up to date.
type Mirror struct {
	remote   remote
	dir      string
	stateDir string
	environ  []string
	log      *slog.Logger

	mu        sync.Mutex
	revisions map[string]Revision // resolved ones, by branch
	changes   memo.Memo[[2]string, *Changes]
}

func newMirror(r remote, o Options) *Mirror {
	return &Mirror{
		remote: r, dir: filepath.Join(o.StateDir, "git", r.id()+".git"), stateDir: o.StateDir,
		environ: o.Environ, log: o.Log, revisions: map[string]Revision{},
	}
}

// URL is the repository's, without a password; for one of this machine, its path.
func (m *Mirror) URL() string { return m.remote.url }

// Redact takes the repository's password out of a text.
func (m *Mirror) Redact(text string) string { return m.remote.git.Redact(text) }

// fetch brings the mirror up to date. Runs that share the state directory do
// so one after the other.
func (m *Mirror) fetch(ctx context.Context) error {
	parent := filepath.Dir(m.dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("making the folder of git mirrors: %w", err)
	}
	lock, err := filelock.Open(ctx, m.dir+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := m.remote.run(ctx, parent, "init", "--quiet", "--bare", m.dir); err != nil {
		return fmt.Errorf("making the mirror of %q: %w", m.remote.url, m.failed(ctx, err))
	}
	m.warnAboutEdits(ctx)
	// The commits of a run stay when their branch moves, for no run lasts as
	// long as git keeps what no branch holds.
	args := append([]string{"fetch", "--quiet", "--prune", "--force"}, m.remote.uploadPack()...)
	args = append(args, "--", m.remote.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
	if _, err := m.git(ctx, args...); err != nil {
		return fmt.Errorf("fetching %q: %w", m.remote.url, m.failed(ctx, err))
	}
	return nil
}

// git runs git on the mirror.
func (m *Mirror) git(ctx context.Context, args ...string) (string, error) {
	return m.remote.run(ctx, m.dir, args...)
}

func (m *Mirror) warnAboutEdits(ctx context.Context) {
	if m.remote.path == "" {
		return
	}
	out, err := m.remote.run(ctx, m.remote.path, "-c", "safe.directory=*", "--no-optional-locks",
		"status", "--porcelain", "--untracked-files=no")
	if err == nil && out != "" {
		m.log.Warn("uncommitted changes in the ansible repository are ignored",
			"repository", m.remote.path, "files", strings.Count(out, "\n"))
	}
}

// failed is why git failed on the mirror: where its disk is full or it is
// damaged, the error says so, not that something is wrong with the user's
// repository.
func (m *Mirror) failed(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	// Some of git's messages about a file that it could not write give no reason.
	var disk unix.Statfs_t
	if unix.Statfs(filepath.Dir(m.dir), &disk) == nil && (disk.Bavail == 0 || disk.Files > 0 && disk.Ffree == 0) {
		return fmt.Errorf("%w in %q: %w", unix.ENOSPC, filepath.Dir(m.dir), err)
	}
	if _, missing := os.Stat(m.dir); missing != nil {
		return err
	}
	found, checking := checkMirror(ctx, git.New(m.environ), m.dir)
	if checking != nil || len(found) == 0 {
		return err
	}
	return damage.In(m.stateDir, found...)
}

// Has reports whether a commit has a path, relative to the top. Git cannot be
// asked for the path itself: a missing one and a damaged mirror end it the same
// way.
func (m *Mirror) Has(ctx context.Context, commit, name string) (bool, error) {
	if name == "." {
		return true, nil
	}
	listed, err := m.git(ctx, "ls-tree", "--full-tree", "--name-only", commit, "--", name)
	return listed != "", err
}

// File reads a file of a commit, if it is there.
func (m *Mirror) File(ctx context.Context, commit, name string) (text string, found bool, err error) {
	if found, err = m.Has(ctx, commit, name); err != nil || !found {
		return "", false, err
	}
	text, err = m.git(ctx, "cat-file", "blob", commit+":"+name)
	return text, true, err
}
