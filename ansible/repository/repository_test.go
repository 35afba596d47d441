package repository

import (
	"os"
	"testing"
)

// open opens the repository with a state directory of its own.
func open(t *testing.T, o Options) *Repository {
	t.Helper()
	if o.StateDir == "" {
		o.StateDir = t.TempDir()
	}
	if o.Environ == nil {
		o.Environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
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

func revision(t *testing.T, r *Repository, branch string) Revision {
	t.Helper()
	rev, err := r.Revision(t.Context(), branch)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}
