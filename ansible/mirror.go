package ansible

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"vauban/internal/filelock"
)

// Revision is a branch (or a tag) and the commit it stood for when the
// repository was opened.
type Revision struct{ Branch, Commit string }

// fetch brings the mirror up to date. Runs that share the state directory do
// so one after the other.
func (r *Repository) fetch(ctx context.Context) error {
	dir := filepath.Join(r.options.StateDir, "git")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of git mirrors: %w", err)
	}
	r.mirror = filepath.Join(dir, r.remote.id()+".git")
	lock, err := filelock.Open(ctx, r.mirror+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := r.remote.run(ctx, dir, "init", "--quiet", "--bare", r.mirror); err != nil {
		return fmt.Errorf("making the mirror of %q: %w", r.remote.url, r.mirrorFailed(ctx, err))
	}
	r.warnAboutEdits(ctx)
	// The commits of a run stay when their branch moves, for no run lasts as
	// long as git keeps what no branch holds.
	args := append([]string{"fetch", "--quiet", "--prune", "--force"}, r.uploadPack()...)
	args = append(args, "--", r.remote.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
	if _, err := r.remote.run(ctx, r.mirror, args...); err != nil {
		return fmt.Errorf("fetching %q: %w", r.remote.url, r.mirrorFailed(ctx, err))
	}
	return nil
}

// uploadPack lets root read a user's repository. Git refuses other owners'
// repositories for fear of their hooks, which reading does not run, and this
// one was named by the user.
func (r *Repository) uploadPack() []string {
	if r.remote.path == "" {
		return nil
	}
	return []string{"--upload-pack", "git -c safe.directory=* upload-pack"}
}

func (r *Repository) warnAboutEdits(ctx context.Context) {
	if r.remote.path == "" {
		return
	}
	out, err := r.remote.run(ctx, r.remote.path, "-c", "safe.directory=*", "--no-optional-locks",
		"status", "--porcelain", "--untracked-files=no")
	if err == nil && out != "" {
		r.log.Warn("edited files of the ansible repository are not built: only commits are",
			"repository", r.remote.path, "files", strings.Count(out, "\n"))
	}
}

var commitID = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Revision resolves a branch, a tag or a full commit ID; "" is the
// repository's default branch. The answer stays the same for the whole run.
func (r *Repository) Revision(ctx context.Context, branch string) (Revision, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rev, ok := r.revisions[branch]; ok {
		return rev, nil
	}
	rev, err := r.resolve(ctx, branch)
	if err == nil {
		r.revisions[branch] = rev
	}
	return rev, err
}

func (r *Repository) resolve(ctx context.Context, branch string) (Revision, error) {
	if branch == "" {
		return r.defaultBranch(ctx)
	}
	candidates := []string{"refs/heads/" + branch, "refs/tags/" + branch}
	if commitID.MatchString(branch) {
		candidates = append(candidates, branch)
	}
	for _, name := range candidates {
		out, err := r.remote.run(ctx, r.mirror, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
		if err == nil {
			return Revision{branch, strings.TrimSpace(out)}, nil
		}
		if ctx.Err() != nil {
			return Revision{}, context.Cause(ctx)
		}
	}
	out, err := r.remote.run(ctx, r.mirror, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags")
	if err != nil {
		return Revision{}, fmt.Errorf("listing the branches of %q: %w", r.remote.url, r.mirrorFailed(ctx, err))
	}
	if slices.Contains(strings.Fields(out), branch) {
		err := fmt.Errorf("branch %q names no commit", branch)
		return Revision{}, fmt.Errorf("reading the mirror of %q: %w", r.remote.url, r.mirrorFailed(ctx, err))
	}
	return Revision{}, fmt.Errorf("repository %q has no branch %q%s", r.remote.url, branch,
		didYouMean(branch, strings.Fields(out)))
}

// defaultBranch is what the repository's HEAD names: in a work tree, the
// branch that is checked out.
func (r *Repository) defaultBranch(ctx context.Context) (Revision, error) {
	args := append([]string{"ls-remote", "--symref"}, r.uploadPack()...)
	out, err := r.remote.run(ctx, r.mirror, append(args, "--", r.remote.url, "HEAD")...)
	if err != nil {
		return Revision{}, fmt.Errorf("finding the default branch of %q: %w", r.remote.url, err)
	}
	commit := ""
	for line := range strings.Lines(out) {
		value, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if branch, ok := strings.CutPrefix(value, "ref: refs/heads/"); ok && name == "HEAD" {
			return r.resolve(ctx, branch)
		}
		if name == "HEAD" {
			commit = value
		}
	}
	if commit == "" {
		return Revision{}, fmt.Errorf("repository %q has no default branch (its HEAD names none that exists): "+
			"set `branch:` or `--branch`", r.remote.url)
	}
	args = append([]string{"fetch", "--quiet"}, r.uploadPack()...)
	if _, err := r.remote.run(ctx, r.mirror, append(args, "--", r.remote.url, "HEAD")...); err != nil {
		return Revision{}, fmt.Errorf("fetching what is checked out in %q: %w", r.remote.url, err)
	}
	return Revision{"HEAD", commit}, nil
}
