//go:build integration

package ansible

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

func TestHosts(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{
		"site/ansible.cfg": "[defaults]\ninventory = inventory, more\n",
		"site/inventory":   "localhost ansible_connection=local\n[web]\nweb[01:03]\n[db]\ndb01\nmaster-12-db\ndeclared\n",
		"site/more":        "[web]\nweb04\n",
	})
	r := open(t, Options{Repository: repository.Options{Repo: repo, RootDir: "site", Environ: append(os.Environ(), "OUT="+filepath.Join(t.TempDir(), "out"))}, HookPre: `printf '[web]\nhooked\n' >> more; echo "$VAUBAN_HOSTS" >> "$OUT"`})
	rev := revision(t, r, "")
	for pattern, want := range map[string][]string{
		"web0*,!web02": {"web01", "web03", "web04"},
		"web:&web":     {"web01", "web02", "web03", "web04", "hooked"},
		"db":           {"db01"},
		"all":          {"web01", "web02", "web03", "web04", "hooked", "db01"},
	} {
		got, err := r.Hosts(t.Context(), rev, HostPattern{Pattern: pattern, Without: []string{"declared"}})
		if err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
		sort := func(hosts []string) map[string]bool {
			set := map[string]bool{}
			for _, h := range hosts {
				set[h] = true
			}
			return set
		}
		if diff := cmp.Diff(sort(want), sort(got)); diff != "" {
			t.Errorf("%q:\n%s", pattern, diff)
		}
	}
	for pattern, want := range map[string]string{
		"nothing*":     "matches no host",
		"master-12-db": "which are not hosts to build",
	} {
		if got, err := r.Hosts(t.Context(), rev, HostPattern{Pattern: pattern}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want an error with %q", pattern, got, err, want)
		}
	}
}

// Hooks run in the working copy before ansible reads it and after it is done;
// roles come from requirements.yml, the second time without their source;
// ansible.cfg's vault password lies in the user's folder alone.
func TestSurroundings(t *testing.T) {
	role := gittest.Repository(t, map[string]string{"meta/main.yml": "{}\n", "tasks/main.yml": "- copy: {dest: /etc/role, content: \"from the role\\n\"}\n"})
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg":            "[defaults]\ninventory = generated\nvault_password_file = .password\ncallbacks_enabled = ansible.builtin.tree\ncallback_plugins = plugins\n[callback_tree]\ndirectory = tree\n",
		"roles/requirements.yml": "- {src: \"git+file://" + role + "\", name: fetched}\n",
		"plugins/mine.py":        "from ansible.plugins.callback import CallbackBase\nimport os\nclass CallbackModule(CallbackBase):\n    CALLBACK_VERSION = 2.0\n    CALLBACK_TYPE = 'notification'\n    CALLBACK_NAME = 'mine'\n    def v2_playbook_on_stats(self, stats):\n        open(os.environ['OUT'], 'a').write('callback\\n')\n",
		"play.yml": `
- hosts: all
  gather_facts: true
  gather_subset: [min]
  roles: [fetched]
  tasks:
    - copy: {dest: /etc/secret, content: "{{ secret }}\n"}
    - copy: {dest: /etc/user, content: "{{ lookup('env', 'USER') }} {{ lookup('env', 'LOGNAME') }}\n"}
    - copy: {dest: /etc/facts, content: "{{ ansible_processor_vcpus }} {{ ansible_facts.processor_vcpus }} {{ ansible_facts.distribution }}\n"}
`,
	})
	user, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(filepath.Join(user, ".password"), []byte("opensesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted := output(t, "ansible-vault", "encrypt_string", "--vault-password-file", filepath.Join(user, ".password"), "--name", "secret", "treasure")
	gittest.Commit(t, repo, map[string]string{"group_vars/all.yml": encrypted})
	state := t.TempDir()
	r := open(t, Options{Repository: repository.Options{Repo: repo, StateDir: state, Dir: user, Environ: append(os.Environ(), "OUT="+out, "USER=", "LOGNAME=builder")}, HookPre: "echo web1 > generated\necho \"pre $VAUBAN_MASTER $VAUBAN_STAGE $VAUBAN_HOSTS\" >> \"$OUT\"", HookPost: "test -f generated\necho post >> \"$OUT\""})
	for range 2 {
		b := newBox(t, "web1")
		facts := map[string]any{"processor_vcpus": 77}
		if failed := apply(t, r, PlaybookOptions{Path: "play.yml", Master: "m", Conffs: true, Facts: facts}, b); len(failed) > 0 {
			t.Fatal(failed)
		}
		for path, want := range map[string]string{
			"etc/role": "from the role\n", "etc/secret": "treasure\n", "etc/user": "root builder\n", "etc/facts": "77 77 Debian\n",
		} {
			if got := b.read(t, path); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
		if err := os.RemoveAll(role); err != nil {
			t.Fatal(err)
		}
	}
	said, err := os.ReadFile(out)
	if want := strings.Repeat("pre m play.yml web1\ncallback\npost\n", 2); err != nil || string(said) != want {
		t.Errorf("hooks and the repository's callback wrote %q, %v; want %q", said, err, want)
	}
}

func TestFailingHook(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{"play.yml": "- hosts: all\n"})
	r := open(t, Options{Repository: repository.Options{Repo: repo}, HookPre: "echo no disk left >&2\nfalse\necho not reached"})
	p := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml"})
	_, err := p.run(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "HOOK_PRE_ANSIBLE") || !strings.Contains(err.Error(), "no disk left") ||
		strings.Contains(err.Error(), "not reached") {
		t.Errorf("got %v, want an error that names the hook and what it said", err)
	}
}
