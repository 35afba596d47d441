//go:build integration

package ansible

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

// memory keeps in memory.
type memory map[string][]byte

func (m memory) Get(_ context.Context, name string) ([]byte, error) { return m[name], nil }

func (m memory) Put(_ context.Context, name string, data []byte) error {
	m[name] = data
	return nil
}

// TestExpand expands several patterns at once as --limit does one by one, and
// keeps what it found where that holds next time.
func TestExpand(t *testing.T) {
	const plain = "[web]\nweb1\nweb2\n[db]\ndb1\n[old]\nweb2\n"
	patterns := []HostPattern{{Pattern: "web*,!old"}, {Pattern: "db:&all"}, {Pattern: "nothing"}, {Pattern: "all"}, {Pattern: "web*,!old"}, {Pattern: "~db\\d"}}
	want := [][]string{{"web1"}, {"db1"}, {}, {"db1", "web1", "web2"}, {"web1"}, {"db1"}}
	for name, test := range map[string]struct {
		files  map[string]string
		script string // which of the files is a program
		hook   string
		kept   int
	}{
		"a file":   {map[string]string{"ansible.cfg": "[defaults]\ninventory = hosts\n", "hosts": plain}, "", "", 1},
		"a folder": {map[string]string{"ansible.cfg": "[defaults]\ninventory = inv\n", "inv/hosts": plain, "inv/group_vars/all.yml": "a: 1\n"}, "", "", 1},
		"a program": {map[string]string{"ansible.cfg": "[defaults]\ninventory = hosts\n",
			"hosts": "#!/bin/sh\necho '{\"web\": [\"web1\", \"web2\"], \"db\": [\"db1\"], \"old\": [\"web2\"]}'\n"}, "hosts", "", 0},
		"a hook": {map[string]string{"ansible.cfg": "[defaults]\ninventory = hosts\n", "plain": plain}, "", "cp plain hosts", 0},
	} {
		t.Run(name, func(t *testing.T) {
			repo := gittest.Repository(t, test.files)
			if test.script != "" {
				if err := os.Chmod(filepath.Join(repo, test.script), 0o755); err != nil {
					t.Fatal(err)
				}
				gittest.Commit(t, repo, nil)
			}
			patterns, want := patterns, want
			if test.hook != "" {
				patterns, want = patterns[1:3], want[1:3] // a process for each
			}
			r, kept := open(t, Options{Repository: repository.Options{Repo: repo}, HookPre: test.hook}), memory{}
			for range 2 {
				got, err := r.Expand(t.Context(), revision(t, r, ""), kept, patterns...)
				if err != nil {
					t.Fatal(err)
				}
				for i := range got {
					if diff := cmp.Diff(want[i], append([]string{}, got[i]...)); diff != "" {
						t.Errorf("%s: %s", patterns[i].Pattern, diff)
					}
				}
			}
			if len(kept) != test.kept {
				t.Errorf("%d documents are kept, want %d", len(kept), test.kept)
			}
		})
	}
}

// TestExpandWithVaultPassword: git rightly lacks the password file that
// ansible.cfg names.
func TestExpandWithVaultPassword(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".vault_pass"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, Options{Repository: repository.Options{Dir: dir, Repo: gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\nvault_password_file = .vault_pass\n", "hosts": "web01\n",
	})}})
	got, err := r.Expand(t.Context(), revision(t, r, ""), memory{}, HostPattern{Pattern: "all"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"web01"}}, got); diff != "" {
		t.Error(diff)
	}
}

// TestAsksPlugin: the file of an inventory plugin may ask a server.
func TestAsksPlugin(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"cloud.yml":      {"plugin: cloud\n", true},
		"groups.yml":     {"plugin: constructed\n", false},
		"builtin.yml":    {"plugin: ansible.builtin.constructed\n", false},
		"hosts.yml":      {"all:\n  hosts:\n    plugin:\n", false},
		"unreadable.yml": {"plugin: [\n", true},
		"hosts.ini":      {"plugin: cloud\n", false},
		"mentioned.yaml": {"all:\n  vars:\n    a: plugin\n", false},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := asksPlugin(path); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestFailingSource: a source of the inventory that cannot be read is an error
// that names it, never a source without hosts; what ansible leaves out of a
// folder by name is not a source.
func TestFailingSource(t *testing.T) {
	const cfg = "[defaults]\ninventory = inv\n"
	for name, test := range map[string]struct {
		files    map[string]string
		programs []string
		want     string // in the error; "": none
	}{
		"a program that fails":                {map[string]string{"inv/cmdb": "#!/bin/sh\necho cmdb does not answer >&2\nexit 1\n"}, []string{"inv/cmdb"}, "inv/cmdb failed: "},
		"a program that reads like hosts":     {map[string]string{"inv/cmdb": "#!/bin/sh\nfalse\n"}, []string{"inv/cmdb"}, "inv/cmdb failed: "},
		"a program that fails for a host":     {map[string]string{"inv/cmdb": "#!/bin/sh\ntest $1 = --list && echo '{\"web\": [\"web9\"]}'\n"}, []string{"inv/cmdb"}, "--host web9 ended with 1"},
		"an error in an ini file":             {map[string]string{"inv/more": "[db]\ndb1 port 22\n"}, nil, "inv/more:2: Expected key=value"},
		"an error in a YAML file":             {map[string]string{"inv/more.yml": "all:\n  hosts:\n    db1:\n   db2:\n"}, nil, "inv/more.yml"},
		"files that ansible leaves out, list": {map[string]string{"inv/README.md": "about these: hosts\n", "inv/group_vars/all.yml": "a: 1\n", "inv/list": "db1\n"}, []string{"inv/list"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.files["ansible.cfg"], test.files["inv/static"] = cfg, "web1\n"
			repo := gittest.Repository(t, test.files)
			for _, program := range test.programs {
				if err := os.Chmod(filepath.Join(repo, program), 0o755); err != nil {
					t.Fatal(err)
				}
				gittest.Commit(t, repo, nil)
			}
			r, kept := open(t, Options{Repository: repository.Options{Repo: repo}}), memory{}
			_, err := r.Expand(t.Context(), revision(t, r, ""), kept, HostPattern{Pattern: "web*"})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("the error is %v, want %q", err, test.want)
			}
			if test.want == "" {
				return
			}
			if _, err := r.Hosts(t.Context(), revision(t, r, ""), HostPattern{Pattern: "gone*"}); errors.Is(err, ErrNoHosts) {
				t.Errorf("a source failed, and the answer is %v", err)
			}
			if len(kept) > 0 {
				t.Error("an answer is kept")
			}
		})
	}
}
