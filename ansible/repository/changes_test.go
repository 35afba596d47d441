package repository

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/internal/gittest"
)

// TestTouching changes a repository in many ways, each of which counts for
// those alone that read, listed or looked for what has changed.
func TestTouching(t *testing.T) {
	files := map[string]string{
		"play.yml": "1", "other.yml": "1", "roles/web/tasks/main.yml": "1", "roles/web/files/a": "1", "roles/web/files/b": "1",
		"group_vars/all.yml": "1", "host_vars/web1.yml": "1", "host_vars/web1.example/main.yml": "1",
	}
	for name, test := range map[string]struct {
		reads  Reads
		change map[string]string // "" removes
		want   []string
	}{
		"a file that was read":              {Reads{Files: []string{"play.yml"}}, map[string]string{"play.yml": "2"}, []string{"play.yml"}},
		"another file":                      {Reads{Files: []string{"play.yml"}}, map[string]string{"other.yml": "2"}, nil},
		"a new file beside it":              {Reads{Files: []string{"play.yml", "roles"}}, map[string]string{"new.yml": "1"}, nil},
		"a file that went":                  {Reads{Files: []string{"play.yml"}}, map[string]string{"play.yml": ""}, []string{"play.yml"}},
		"a file that was looked for":        {Reads{Files: []string{"group_vars/web.yml"}}, map[string]string{"group_vars/web.yml": "1"}, []string{"group_vars/web.yml"}},
		"a folder that was looked for":      {Reads{Files: []string{"group_vars/web"}}, map[string]string{"group_vars/web/x.yml": "1"}, []string{"group_vars/web"}},
		"a folder that went":                {Reads{Files: []string{"roles/web/files"}}, map[string]string{"roles/web/files/a": "", "roles/web/files/b": ""}, []string{"roles/web/files"}},
		"a folder that is still there":      {Reads{Files: []string{"roles/web/files"}}, map[string]string{"roles/web/files/a": ""}, nil},
		"a new name in a listed folder":     {Reads{Listed: []string{"roles/web/files"}}, map[string]string{"roles/web/files/c": "1"}, []string{"roles/web/files/c"}},
		"a new folder in a listed folder":   {Reads{Listed: []string{"roles/web/files"}}, map[string]string{"roles/web/files/d/e": "1"}, []string{"roles/web/files/d"}},
		"deep below a listed folder":        {Reads{Listed: []string{"roles"}}, map[string]string{"roles/web/files/c": "1"}, nil},
		"a changed file in a listed folder": {Reads{Listed: []string{"roles/web/files"}}, map[string]string{"roles/web/files/a": "2"}, nil},
		"everything":                        {Reads{Everything: "x"}, map[string]string{"other.yml": "2"}, []string{"other.yml"}},
		"how files are checked out":         {Reads{}, map[string]string{"roles/.gitattributes": "* eol=crlf"}, []string{"roles/.gitattributes"}},
	} {
		t.Run(name, func(t *testing.T) {
			repository := gittest.Repository(t, files)
			first := strings.TrimSpace(gittest.Run(t, repository, "rev-parse", "HEAD"))
			change(t, repository, test.change)
			r := open(t, Options{Repo: repository})
			changes, err := r.Changes(t.Context(), first, revision(t, r, "").Commit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, changes.Touching(test.reads)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// change writes files, or removes those without content, and commits.
func change(t *testing.T, repository string, files map[string]string) {
	t.Helper()
	written := map[string]string{}
	for name, content := range files {
		if content != "" {
			written[name] = content
		} else if err := os.Remove(filepath.Join(repository, name)); err != nil {
			t.Fatal(err)
		}
	}
	gittest.Commit(t, repository, written)
}

func TestChangedVariables(t *testing.T) {
	repository := gittest.Repository(t, map[string]string{"play.yml": "1", "inventories/prod/host_vars/web1.yml": "1"})
	first := strings.TrimSpace(gittest.Run(t, repository, "rev-parse", "HEAD"))
	gittest.Commit(t, repository, map[string]string{
		"inventories/prod/host_vars/web1.yml": "2", "host_vars/web2/main.yml": "1", "host_vars/web3.example.com": "1", "group_vars/web4.yml": "1",
	})
	r := open(t, Options{Repo: repository})
	changes, err := r.Changes(t.Context(), first, revision(t, r, "").Commit)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"web1": {"inventories/prod/host_vars/web1.yml"}, "web2": {"host_vars/web2/main.yml"},
		"web3.example.com": {"host_vars/web3.example.com"}, "web3": nil, "web4": nil,
	} {
		if diff := cmp.Diff(want, changes.Variables(host)); diff != "" {
			t.Errorf("%s: %s", host, diff)
		}
	}
}

// TestUnknownCommit: a branch that was force-pushed leaves a fresh mirror
// without the commit that was built.
func TestUnknownCommit(t *testing.T) {
	repository := gittest.Repository(t, map[string]string{"play.yml": "1"})
	r := open(t, Options{Repo: repository})
	now := revision(t, r, "").Commit
	_, err := r.Changes(t.Context(), strings.Repeat("a", 40), now)
	if !errors.Is(err, ErrUnknownCommit) {
		t.Errorf("comparing with an unknown commit: %v", err)
	}
	if changes, err := r.Changes(t.Context(), now, now); err != nil || changes.Touching(Reads{Everything: "x"}) != nil {
		t.Errorf("a commit differs from itself: %v, %v", changes, err)
	}
	if _, err := r.Changes(t.Context(), "--output=x", now); err == nil {
		t.Error("an option is compared")
	}
}

func FuzzParseChanges(f *testing.F) {
	f.Add(":100644 100644 1 2 M\x00play.yml\x00:000000 040000 1 2 A\x00host_vars/x\x00")
	f.Add(":160000 160000 1 2 M\x00sub\x00")
	f.Fuzz(func(t *testing.T, out string) {
		c, err := parseChanges(out)
		if err != nil {
			return
		}
		if got, all := c.Touching(Reads{Everything: "x"}), len(c.entries); len(got) > all || all > 0 && len(got) == 0 {
			t.Errorf("%d entries, %q touch everything", all, got)
		}
	})
}
