package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// links are the names in a folder, with what they point to.
func links(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, e := range entries {
		found[e.Name()], _ = os.Readlink(filepath.Join(dir, e.Name()))
	}
	return found
}

func TestLinkLogs(t *testing.T) {
	tmp := t.TempDir()
	dir := filepath.Join(tmp, "vauban-logs")
	first, second := filepath.Join(tmp, "logs", "1"), filepath.Join(tmp, "logs", "2")
	for _, logs := range []string{first, second} {
		if err := os.MkdirAll(logs, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := linkLogs(dir, logs); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]string{"1": first, "2": second, "latest": second}, links(t, dir)); diff != "" {
		t.Error(diff)
	}
	// one that is ours is closed to others, and what is gone disappears
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(first); err != nil {
		t.Fatal(err)
	}
	if err := linkLogs(dir, second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"2": second, "latest": second, "kept": ""}, links(t, dir)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
}

// TestLinkLogsRefuses touches nothing where somebody else was first.
func TestLinkLogsRefuses(t *testing.T) {
	for name, occupy := range map[string]func(dir, elsewhere string) (string, error){
		"a link to a folder of ours": func(dir, elsewhere string) (string, error) { return dir, os.Symlink(elsewhere, dir) },
		"a file":                     func(dir, _ string) (string, error) { return dir, os.WriteFile(dir, nil, 0o600) },
		"another user's folder": func(dir, _ string) (string, error) {
			if os.Geteuid() != 0 {
				return "/usr", nil // root's
			}
			return dir, errors.Join(os.Mkdir(dir, 0o777), os.Chown(dir, 65534, 65534))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			elsewhere := filepath.Join(tmp, "elsewhere")
			if err := os.Mkdir(elsewhere, 0o755); err != nil {
				t.Fatal(err)
			}
			dir, err := occupy(filepath.Join(tmp, "vauban-logs"), elsewhere)
			if err != nil {
				t.Fatal(err)
			}
			if err := linkLogs(dir, filepath.Join(tmp, "logs")); err == nil {
				t.Error("it was taken for ours")
			}
			if found := links(t, elsewhere); len(found) > 0 {
				t.Errorf("it made %v", found)
			}
		})
	}
}
