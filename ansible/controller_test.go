package ansible

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

// open opens the repository with a state directory of its own.
func open(t *testing.T, o Options) *Controller {
	t.Helper()
	if o.Repository.StateDir == "" {
		o.Repository.StateDir = t.TempDir()
	}
	if o.Repository.Environ == nil {
		o.Repository.Environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	}
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func revision(t *testing.T, r *Controller, branch string) repository.Revision {
	t.Helper()
	rev, err := r.Repository.Revision(t.Context(), branch)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestFactsFrom(t *testing.T) {
	repo, facts := gittest.Repository(t, map[string]string{"play.yml": "a"}), t.TempDir()
	write := func(content string) {
		if err := os.WriteFile(filepath.Join(facts, "db1.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"ansible_memtotal_mb": 1}`)
	first := open(t, Options{Repository: repository.Options{Repo: repo, Dir: filepath.Dir(linkTo(t, facts))}, FactsFrom: "facts"})
	write(`{"ansible_memtotal_mb": 2}`)
	second := open(t, Options{Repository: repository.Options{Repo: repo}, FactsFrom: facts})
	if first.facts == second.facts {
		t.Error("other facts have the same digest")
	}
	write(`[]`)
	_, err := Open(t.Context(), Options{Repository: repository.Options{Repo: repo, StateDir: t.TempDir(), Environ: os.Environ()}, FactsFrom: facts})
	if err == nil || !strings.Contains(err.Error(), `"db1.json"`) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

// linkTo makes a link called facts.
func linkTo(t *testing.T, target string) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "facts")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	return link
}
