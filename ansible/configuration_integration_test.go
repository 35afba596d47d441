//go:build integration

package ansible

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

// An ansible.cfg as people have it, with its own strategy, screen, callbacks
// and cache of facts, is in the way of nothing: the callbacks work, and facts
// of another run neither come in nor go out.
func TestOwnConfiguration(t *testing.T) {
	collection := gittest.Repository(t, map[string]string{
		"galaxy.yml":             "namespace: acme\nname: tools\nversion: 1.0.0\nreadme: README.md\nauthors: [acme]\n",
		"README.md":              "tools\n",
		"meta/runtime.yml":       "requires_ansible: '>=2.14'\n",
		"plugins/filter/loud.py": "class FilterModule:\n    def filters(self):\n        return {'loud': lambda text: text.upper()}\n",
	})
	const callback = `import os
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = '%TYPE'
    CALLBACK_NAME = '%NAME'
    CALLBACK_NEEDS_ENABLED = %NEEDS
    def v2_playbook_on_stats(self, stats):
        open(os.environ['OUT'], 'a').write('%NAME\n')
`
	makeCallback := func(name, kind, needs string) string {
		return strings.NewReplacer("%NAME", name, "%TYPE", kind, "%NEEDS", needs).Replace(callback)
	}
	facts := t.TempDir()
	stale := filepath.Join(facts, "web1")
	if err := os.WriteFile(stale, []byte(`{"ansible_distribution": "stale"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\nstrategy = own\nstrategy_plugins = strategies\n" +
			"stdout_callback = screen\ncallback_plugins = callbacks\ncallbacks_enabled = told\n" +
			"gathering = smart\nfact_caching = jsonfile\nfact_caching_connection = " + facts + "\n",
		"hosts":                        "web1\n",
		"strategies/own.py":            "raise Exception('the strategy of the repository was loaded')\n",
		"callbacks/screen.py":          makeCallback("screen", "stdout", "False"),
		"callbacks/told.py":            makeCallback("told", "notification", "True"),
		"callbacks/untold.py":          makeCallback("untold", "notification", "True"),
		"collections/requirements.yml": "collections:\n  - {name: \"git+file://" + collection + "\", type: git}\n",
		"play.yml":                     "- hosts: all\n  tasks:\n    - copy: {dest: /etc/result, content: \"{{ ansible_distribution | acme.tools.loud }}\\n\"}\n",
	})
	out := filepath.Join(t.TempDir(), "out")
	r := open(t, Options{Repository: repository.Options{Repo: repo, StateDir: t.TempDir(), Environ: append(os.Environ(), "OUT="+out)}})
	for _, conffs := range []bool{false, true} {
		b := newBox(t, "web1")
		var log bytes.Buffer
		if failed := apply(t, r, PlaybookOptions{Path: "play.yml", Master: "web1", Conffs: conffs, Log: &log}, b); len(failed) > 0 {
			t.Fatalf("%v\n%s", failed, &log)
		}
		if got := b.read(t, "etc/result"); got != "DEBIAN\n" {
			t.Errorf("conffs %t: got %q from facts", conffs, got)
		}
		// the second time, the cache of collections has to do
		if err := os.RemoveAll(collection); err != nil {
			t.Fatal(err)
		}
	}
	said, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(said))
	if want := 4; len(lines) != want || strings.Contains(string(said), "untold") ||
		strings.Count(string(said), "screen") != 2 {
		t.Errorf("the callbacks wrote %q, want screen and told for each of two runs", said)
	}
	if cached, err := os.ReadFile(stale); err != nil || string(cached) != `{"ansible_distribution": "stale"}` {
		t.Errorf("the cache of facts became %q, %v", cached, err)
	}
}
