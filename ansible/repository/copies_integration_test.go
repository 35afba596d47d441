//go:build integration

package repository

import (
	"os"
	"path/filepath"
	"testing"

	"vauban/internal/gittest"
)

// Root builds from a repository that belongs to somebody else.
func TestOtherOwner(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{"play.yml": "x"})
	err := filepath.WalkDir(repo, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 65534, 65534)
	})
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, Options{Repo: repo})
	if err := r.HasPlaybook(t.Context(), revision(t, r, ""), "play.yml"); err != nil {
		t.Error(err)
	}
}
