package repository

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadsAdd(t *testing.T) {
	r := Reads{Files: []string{"a", "c"}, Neighbours: map[string][]string{"web1": {"web2"}}}
	r.Add(Reads{Files: []string{"b", "c"}, Listed: []string{"d"}, Neighbours: map[string][]string{"web1": {"web3"}, "web4": {"web1"}}})
	want := Reads{Files: []string{"a", "b", "c"}, Listed: []string{"d"},
		Neighbours: map[string][]string{"web1": {"web2", "web3"}, "web4": {"web1"}}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	r.Add(Reads{Everything: "why"})
	if diff := cmp.Diff(Reads{Everything: "why"}, r); diff != "" {
		t.Error(diff)
	}
}

// TestLinks: git knows what is behind a link by another path.
func TestLinks(t *testing.T) {
	tree := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(tree, "shared/tasks"), 0o755),
		os.MkdirAll(filepath.Join(tree, "roles"), 0o755),
		os.Symlink("../shared", filepath.Join(tree, "roles/web")),
		os.Symlink("/etc", filepath.Join(tree, "outside")),
		os.Symlink("loop", filepath.Join(tree, "loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := Reads{Files: []string{"roles/web/tasks/main.yml", "outside/passwd", "loop/x", "plain"}, Listed: []string{"roles/web/tasks", "."}}
	links{tree, map[string]bool{}}.follow(&r)
	want := Reads{
		Files:  []string{"loop", "loop/x", "outside", "outside/passwd", "plain", "roles/web", "roles/web/tasks/main.yml", "shared/tasks/main.yml"},
		Listed: []string{".", "roles/web/tasks", "shared/tasks"},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
}
