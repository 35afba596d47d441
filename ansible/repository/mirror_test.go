package repository

import (
	"path/filepath"
	"strings"
	"testing"

	"vauban/internal/gittest"
)

func TestRevision(t *testing.T) {
	repository := gittest.Repository(t, map[string]string{"play.yml": "a"})
	gittest.Run(t, repository, "tag", "v1")
	gittest.Run(t, repository, "branch", "feature/monitoring")
	first := strings.TrimSpace(gittest.Run(t, repository, "rev-parse", "HEAD"))
	gittest.Commit(t, repository, map[string]string{"play.yml": "b"})
	second := strings.TrimSpace(gittest.Run(t, repository, "rev-parse", "HEAD"))
	bare := filepath.Join(t.TempDir(), "bare.git")
	gittest.Run(t, repository, "clone", "--quiet", "--bare", ".", bare)
	for _, source := range []string{repository, bare, "file://" + bare} {
		r := open(t, Options{Repo: source})
		for branch, want := range map[string]Revision{
			"":                   {"main", second},
			"main":               {"main", second},
			"feature/monitoring": {"feature/monitoring", first},
			"v1":                 {"v1", first},
			first:                {first, first},
		} {
			if got := revision(t, r, branch); got != want {
				t.Errorf("%s: branch %q: got %v, want %v", source, branch, got, want)
			}
		}
		for branch, want := range map[string]string{
			"feature/monitorin": `did you mean "feature/monitoring"?`,
			"--upload-pack=x":   "has no branch",
		} {
			if _, err := r.Revision(t.Context(), branch); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("branch %q: got error %v, want %q in it", branch, err, want)
			}
		}
	}
}

// A branch is one commit for a whole run; the next run sees the new one.
func TestRevisionStays(t *testing.T) {
	repository, state := gittest.Repository(t, map[string]string{"play.yml": "a"}), t.TempDir()
	first := open(t, Options{Repo: repository, StateDir: state})
	before := revision(t, first, "main")
	gittest.Commit(t, repository, map[string]string{"play.yml": "b"})
	second := open(t, Options{Repo: repository, StateDir: state})
	if after := revision(t, second, ""); after.Commit == before.Commit {
		t.Error("the second run does not see the new commit")
	}
	if again := revision(t, first, "main"); again != before {
		t.Errorf("the branch moved within a run: %v, then %v", before, again)
	}
	gittest.Run(t, repository, "branch", "--move", "trunk")
	third := open(t, Options{Repo: repository, StateDir: state})
	if _, err := third.Revision(t.Context(), "main"); err == nil {
		t.Error("a deleted branch is still there")
	}
}

func TestDetachedHead(t *testing.T) {
	repository := gittest.Repository(t, map[string]string{"play.yml": "a"})
	gittest.Run(t, repository, "checkout", "--quiet", "--detach")
	gittest.Commit(t, repository, map[string]string{"play.yml": "b"})
	want := strings.TrimSpace(gittest.Run(t, repository, "rev-parse", "HEAD"))
	r := open(t, Options{Repo: repository})
	rev := revision(t, r, "")
	if rev.Commit != want {
		t.Errorf("got %v, want %s", rev, want)
	}
	if err := r.HasPlaybook(t.Context(), rev, "play.yml"); err != nil {
		t.Error(err)
	}
}
