//go:build integration

package repository

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"vauban/internal/git"
)

// Several runs at once want the same collections: one installs them, and what
// a killed one left unfinished is neither used nor kept.
func TestGalaxyAtOnce(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"requirements.yml":               "collections:\n  - name: ./mine\n    type: dir\n",
		"mine/galaxy.yml":                "namespace: acme\nname: mine\nversion: 1.0.0\nreadme: README.md\nauthors: [nobody]\n",
		"mine/README.md":                 "mine\n",
		"mine/plugins/filter/nothing.py": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := &Copy{Dir: t.TempDir(), Tree: dir, Root: dir, Commit: "1"}
	files, err := requirements(c)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	cache := filepath.Join(state, "galaxy", requirementsKey(c, files))
	killed := filepath.Join(cache+".partial", "ansible_collections", "half")
	if err := os.MkdirAll(killed, 0o700); err != nil {
		t.Fatal(err)
	}
	galaxy := &Galaxy{filepath.Join(state, "galaxy"), git.New(os.Environ()), slog.New(slog.DiscardHandler)}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			found, err := galaxy.Install(t.Context(), c, "ansible-galaxy", os.Environ())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(found.Collections, "ansible_collections/acme/mine/MANIFEST.json")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	left, err := filepath.Glob(filepath.Join(state, "galaxy", "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("in the cache are %q, %v; want one folder and its lock", left, err)
	}
	if _, err := os.Stat(filepath.Join(cache, "ansible_collections", "half")); !os.IsNotExist(err) {
		t.Errorf("what a killed run left is in use: %v", err)
	}
	damaged := filepath.Join(cache, "ansible_collections/acme/mine/README.md")
	if err := os.WriteFile(damaged, []byte("mind\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := galaxy.Install(t.Context(), c, "ansible-galaxy", os.Environ()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(damaged); err != nil || string(text) != "mine\n" {
		t.Errorf("a damaged file of the cache is %q now (%v)", text, err)
	}
}
