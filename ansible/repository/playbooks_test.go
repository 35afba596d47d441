package repository

import (
	"strings"
	"testing"

	"vauban/internal/gittest"
)

func TestHasPlaybook(t *testing.T) {
	repository := gittest.Repository(t, map[string]string{
		"site/playbooks/playbook_web.yml": "x", "site/playbook_db.yml": "x", "site/roles/web/tasks/playbook_we.yml": "x",
	})
	r := open(t, Options{Repo: repository, RootDir: "site"})
	rev := revision(t, r, "")
	if err := r.HasPlaybook(t.Context(), rev, "playbooks/playbook_web.yml"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"playbook_web.yml": `branch "main" has no playbook "playbook_web.yml" in "site": did you mean "playbooks/playbook_web.yml" or "playbook_db.yml"?`,
		"../x.yml":         "leaves the repository",
		"playbooks":        `has no playbook "playbooks"`,
		"far-away.yml":     `has no playbook "far-away.yml" in "site"`,
	} {
		if err := r.HasPlaybook(t.Context(), rev, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", path, err, want)
		}
	}
	other := open(t, Options{Repo: repository, RootDir: "sight"})
	if err := other.HasPlaybook(t.Context(), rev, "x.yml"); err == nil || !strings.Contains(err.Error(), "ANSIBLE_ROOT_DIR") {
		t.Errorf("got %v, want an error about ANSIBLE_ROOT_DIR", err)
	}
}
