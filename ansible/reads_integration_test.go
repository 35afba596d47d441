//go:build integration

package ansible

import (
	"slices"
	"strings"
	"testing"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

// TestReads has a run note which files of the repository it reads, and which it
// looks for in vain.
func TestReads(t *testing.T) {
	files := map[string]string{
		"ansible.cfg":                       "[defaults]\ninventory = inventory\n",
		"inventory/hosts":                   "[web]\nweb1\nweb2\n[others]\nother1\n",
		"inventory/group_vars/web.yml":      "greeting: hello\n",
		"inventory/group_vars/others.yml":   "greeting: bye\n",
		"inventory/host_vars/web1.yml":      "own: 1\n",
		"inventory/host_vars/other1.yml":    "own: 2\n",
		"inventory/host_vars/web2/own":      "own: 3\n",
		"inventory/host_vars/web2/key.pub":  "a key\n",
		"roles/used/files/host_vars/web2/x": "x\n",
		"filter_plugins/shout.py":           "class FilterModule:\n    def filters(self):\n        return {'shout': str.upper}\n",
		"play.yml": `
- hosts: web
  vars_files: [shared.yml]
  roles: [used]
`,
		"other.yml":                   "- hosts: all\n",
		"shared.yml":                  "shared: 1\n",
		"roles/used/tasks/main.yml":   "- include_tasks: more.yml\n- include_vars: {dir: all}\n- copy: {src: tree, dest: /etc/tree}\n- template: {src: motd, dest: /etc/motd}\n",
		"roles/used/tasks/more.yml":   "- debug: {msg: \"{{ item }}\"}\n  with_first_found: [{files: [Debian-13.yml, Debian.yml], skip: true}]\n",
		"roles/used/vars/all/a.yml":   "a: 1\n",
		"roles/used/files/tree/leaf":  "leaf\n",
		"roles/used/templates/motd":   "{{ greeting | shout }} {{ hostvars['other1'].own }} {{ lookup('file', playbook_dir + '/inventory/host_vars/web2/key.pub') }} {{ lookup('file', 'host_vars/web2/x') }}\n",
		"roles/unused/tasks/main.yml": "- fail:\n",
	}
	r := open(t, Options{Repository: repository.Options{Repo: gittest.Repository(t, files)}})
	p := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml", Conffs: true})
	if _, err := p.run(t.Context(), []target{newBox(t, "web1").target, newBox(t, "web2").target}); err != nil {
		t.Fatal(err)
	}
	reads := p.Reads()
	if reads.Everything != "" {
		t.Fatalf("everything counts: %s", reads.Everything)
	}
	for _, name := range []string{
		"ansible.cfg", "requirements.yml", "inventory/hosts", "inventory/group_vars/web.yml", "inventory/host_vars/other1.yml",
		"play.yml", "shared.yml", "roles/used/tasks/main.yml", "roles/used/tasks/more.yml", "roles/used/vars/all/a.yml",
		"roles/used/files/tree/leaf", "roles/used/templates/motd", "filter_plugins/shout.py",
		// of a host, and read by its neighbour
		"inventory/host_vars/web2/key.pub", "roles/used/files/host_vars/web2/x",
		// looked for, and not there
		"inventory/group_vars/all.yml", "Debian-13.yml", "roles/used/files/Debian-13.yml", "library", "roles/used/library",
	} {
		if !slices.Contains(reads.Files, name) {
			t.Errorf("%s was not noted", name)
		}
	}
	for _, name := range []string{"other.yml", "roles/unused", "roles/unused/tasks/main.yml", "inventory/host_vars/web1.yml", "inventory/host_vars/web2/own"} {
		if slices.Contains(reads.Files, name) {
			t.Errorf("%s was noted", name)
		}
	}
	for _, name := range reads.Files {
		if strings.Contains(name, "__pycache__") {
			t.Errorf("%s was noted", name)
		}
	}
	for _, name := range []string{"filter_plugins", "roles/used/files/tree", "roles/used/vars/all"} {
		if !slices.Contains(reads.Listed, name) {
			t.Errorf("the listing of %s was not noted", name)
		}
	}
	if slices.Contains(reads.Listed, ".") {
		t.Error("the top was listed: any new file counts")
	}
}

// TestReadsOfPrograms: nobody knows what a program on the builder reads.
func TestReadsOfPrograms(t *testing.T) {
	for name, play := range map[string]string{
		"a lookup":     "- hosts: all\n  tasks:\n    - debug: {msg: \"{{ lookup('pipe', 'cat other') }}\"}\n",
		"a local task": "- hosts: all\n  tasks:\n    - command: cat other\n      delegate_to: localhost\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, Options{Repository: repository.Options{Repo: gittest.Repository(t, map[string]string{"play.yml": "---\n" + play, "other": "1\n"})}})
			p := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml", Master: "web1"})
			if _, err := p.run(t.Context(), []target{newBox(t, "web1").target}); err != nil {
				t.Fatal(err)
			}
			if reads := p.Reads(); reads.Everything == "" {
				t.Errorf("only these count: %q", reads.Files)
			}
		})
	}
}
