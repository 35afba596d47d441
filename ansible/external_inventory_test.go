package ansible

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

// TestExternalInventories changes a variable next to an inventory that is not in
// the repository, however it is named.
func TestExternalInventories(t *testing.T) {
	for name, test := range map[string]struct{ cfg, args, file, changed string }{
		"a folder of the arguments":         {"", "-i ../inv/", "inv/hosts", "inv/group_vars/all.yml"},
		"a folder in a folder":              {"", "-i ../inv", "inv/hosts", "inv/group_vars/all/main.yml"},
		"variables of groups beside a file": {"", "--inventory=../inv/hosts", "inv/hosts", "inv/group_vars/all.yml"},
		"variables of hosts beside a file":  {"", "-i../inv/hosts", "inv/hosts", "inv/host_vars/web01.yml"},
		"the file":                          {"", "-i ../inv/hosts", "inv/hosts", "inv/hosts"},
		"an absolute folder of ansible.cfg": {"[defaults]\ninventory = TOP/inv\n", "", "inv/hosts", "inv/group_vars/all.yml"},
		"a second one of ansible.cfg":       {"[defaults]\ninventory = hosts,\n  TOP/inv/hosts ; more\n", "", "inv/hosts", "inv/group_vars/all.yml"},
		"one of ansible.cfg that git lacks": {"[defaults]\ninventory: inv\n", "", "user/inv/hosts", "user/inv/group_vars/all.yml"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			put := func(name, text string) {
				t.Helper()
				path := filepath.Join(top, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put("user/readme", "")
			put(test.file, "web01\n")
			files := map[string]string{"hosts": "web02\n", "playbook.yml": "- hosts: all\n"}
			if test.cfg != "" {
				files["ansible.cfg"] = strings.ReplaceAll(test.cfg, "TOP", top)
			}
			repo := gittest.Repository(t, files)
			input := func() string {
				t.Helper()
				r := open(t, Options{Repository: repository.Options{Repo: repo, Dir: filepath.Join(top, "user")}, ExtraArgs: test.args})
				inputs, err := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: "playbook.yml", Master: "m"}).Inputs(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return inputs["inventories outside the repository"]
			}
			before := input()
			if before == "" {
				t.Fatal("the inventory is no input")
			}
			if again := input(); again != before {
				t.Error("nothing has changed, and the input has")
			}
			put(test.changed, "changed: 1\n")
			if input() == before {
				t.Errorf("%s has changed, and the input has not", test.changed)
			}
		})
	}
}

// TestInventoriesInside: what the repository holds changes with its commits,
// also where the user's folder has a file of that name.
func TestInventoriesInside(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"", "-i web01,", "-i missing"} {
		r := open(t, Options{Repository: repository.Options{Dir: dir, Repo: gittest.Repository(t, map[string]string{"ansible.cfg": "[defaults]\ninventory = ./hosts\n", "hosts": "web01\n", "playbook.yml": ""})}, ExtraArgs: args})
		found, err := r.external.digests(t.Context(), revision(t, r, "").Commit)
		if err != nil || len(found) != 0 {
			t.Errorf("%q: %v, %v", args, found, err)
		}
	}
}
