package repository

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Revision is a branch (or a tag) and the commit it meant when the repository
// was opened.
type Revision struct{ Branch, Commit string }

var commitID = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// Revision resolves a branch, a tag or a full commit ID; "" is the
// repository's default branch. The answer stays the same for the whole run.
func (m *Mirror) Revision(ctx context.Context, branch string) (Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rev, ok := m.revisions[branch]; ok {
		return rev, nil
	}
	rev, err := m.resolve(ctx, branch)
	if err == nil {
		m.revisions[branch] = rev
	}
	return rev, err
}

func (m *Mirror) resolve(ctx context.Context, branch string) (Revision, error) {
	if branch == "" {
		return m.defaultBranch(ctx)
	}
	candidates := []string{"refs/heads/" + branch, "refs/tags/" + branch}
	if commitID.MatchString(branch) {
		candidates = append(candidates, branch)
	}
	for _, name := range candidates {
		out, err := m.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
		if err == nil {
			return Revision{branch, strings.TrimSpace(out)}, nil
		}
		if ctx.Err() != nil {
			return Revision{}, context.Cause(ctx)
		}
	}
	out, err := m.git(ctx, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags")
	if err != nil {
		return Revision{}, fmt.Errorf("listing the branches of %q: %w", m.remote.url, m.failed(ctx, err))
	}
	if slices.Contains(strings.Fields(out), branch) {
		err := fmt.Errorf("branch %q names no commit", branch)
		return Revision{}, fmt.Errorf("reading the mirror of %q: %w", m.remote.url, m.failed(ctx, err))
	}
	return Revision{}, fmt.Errorf("repository %q has no branch %q%s", m.remote.url, branch,
		didYouMean(branch, strings.Fields(out)))
}

// defaultBranch is what the repository's HEAD names: in a work tree, the
// branch that is checked out.
func (m *Mirror) defaultBranch(ctx context.Context) (Revision, error) {
	args := append([]string{"ls-remote", "--symref"}, m.remote.uploadPack()...)
	out, err := m.git(ctx, append(args, "--", m.remote.url, "HEAD")...)
	if err != nil {
		return Revision{}, fmt.Errorf("finding the default branch of %q: %w", m.remote.url, err)
	}
	commit := ""
	for line := range strings.Lines(out) {
		value, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if branch, ok := strings.CutPrefix(value, "ref: refs/heads/"); ok && name == "HEAD" {
			return m.resolve(ctx, branch)
		}
		if name == "HEAD" {
			commit = value
		}
	}
	if commit == "" {
		return Revision{}, fmt.Errorf("repository %q has no default branch (its HEAD names none that exists): "+
			"set `branch:` or `--branch`", m.remote.url)
	}
	args = append([]string{"fetch", "--quiet"}, m.remote.uploadPack()...)
	if _, err := m.git(ctx, append(args, "--", m.remote.url, "HEAD")...); err != nil {
		return Revision{}, fmt.Errorf("fetching what is checked out in %q: %w", m.remote.url, err)
	}
	return Revision{"HEAD", commit}, nil
}
