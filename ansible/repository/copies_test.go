package repository

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"vauban/internal/gittest"
)

func TestSubmodules(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"role", "main"} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
			t.Fatal(err)
		}
		gittest.Run(t, filepath.Join(parent, name), "init", "--quiet", "--initial-branch=main")
		gittest.Commit(t, filepath.Join(parent, name), map[string]string{name + ".yml": "x"})
	}
	main := filepath.Join(parent, "main")
	gittest.Run(t, main, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../role", "roles/role")
	gittest.Commit(t, main, nil)
	r := open(t, Options{Repo: main})
	if err := r.HasPlaybook(t.Context(), revision(t, r, ""), "roles/role/role.yml"); err != nil {
		t.Error(err)
	}
}

// Two runs may open one repository at once; the folder of a run that died is
// removed, that of a living one is not.
func TestSharedState(t *testing.T) {
	repository, state := gittest.Repository(t, map[string]string{"play.yml": "a"}), t.TempDir()
	dead := filepath.Join(state, "ansible", "vauban-dead")
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	var runs sync.WaitGroup
	for range 4 {
		runs.Go(func() {
			r, err := Open(t.Context(), Options{Repo: repository, StateDir: state, Environ: os.Environ()})
			if err != nil {
				t.Error(err)
				return
			}
			rev, err := r.Revision(t.Context(), "")
			if err == nil {
				err = r.HasPlaybook(t.Context(), rev, "play.yml")
			}
			if err != nil {
				t.Error(err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if _, err := os.Stat(dead); err == nil {
		t.Error("the folder of a dead run is still there")
	}
}
