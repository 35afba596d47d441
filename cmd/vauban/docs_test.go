package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// TestDocs compares docs/cli/, the pages about the commands, with what the
// commands say of themselves.
func TestDocs(t *testing.T) {
	fresh := t.TempDir()
	root := newRoot()
	root.InitDefaultCompletionCmd()
	quiet(root)
	if err := doc.GenMarkdownTree(root, fresh); err != nil {
		t.Fatal(err)
	}
	const kept = "../../docs/cli"
	pages := names(t, fresh)
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(fresh, page))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join(kept, page), string(text))
	}
	for _, page := range names(t, kept) {
		if slices.Contains(pages, page) {
			continue
		}
		if !*update {
			t.Errorf("%s is of no command: go test ./cmd/vauban -update", page)
		} else if err := os.Remove(filepath.Join(kept, page)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(pages, "vauban_build.md") {
		t.Errorf("no page about build among %v", pages)
	}
}

// quiet leaves the date out of the pages.
func quiet(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	for _, sub := range cmd.Commands() {
		quiet(sub)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestChangelog: the newest release in the changelog is this version.
func TestChangelog(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## ([0-9.]+)$`).FindSubmatch(text)
	if newest == nil || string(newest[1]) != version {
		t.Errorf("the newest release is %q, not %s", newest, version)
	}
}
