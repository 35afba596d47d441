package ansible

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

const collectionFolder = "ansible_collections/vauban/build"

// patch is a row of the table in the collection's README.
type patch struct {
	names, files  []string
	how, versions string
}

// patchTable reads the table: what is patched, by which files, how, and the
// versions that have it.
func patchTable(t *testing.T) []patch {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(collectionFolder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var table []patch
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || strings.TrimSpace(cells[4]) == "" {
			t.Fatalf("this row has not five cells: %s", line)
		}
		table = append(table, patch{quoted(cells[0]), quoted(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])})
	}
	if len(table) < 12 {
		t.Fatalf("the table has %d rows", len(table))
	}
	return table
}

var backquoted = regexp.MustCompile("`([^`]+)`")

func quoted(cell string) (words []string) {
	for _, found := range backquoted.FindAllStringSubmatch(cell, -1) {
		words = append(words, found[1])
	}
	return words
}

// has reports whether a version of ansible-core, run with Mitogen or without,
// has what the row is about.
func (p patch) has(t *testing.T, core string, mitogen bool) bool {
	t.Helper()
	if since, ok := strings.CutSuffix(p.versions, " and newer"); ok {
		return !before(core, since)
	}
	if p.versions != "Mitogen, whichever has the name" {
		t.Fatalf("no version is %q", p.versions)
	}
	return mitogen
}

// TestPatches runs ansible-playbook as a stage does and looks at the end which
// of the names in the table are patched.
func TestPatches(t *testing.T) {
	core, mitogen, err := Versions(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	table := patchTable(t)
	for _, strategy := range []string{Linear, Mitogen} {
		t.Run(strategy, func(t *testing.T) {
			if strategy == Mitogen && mitogen == "" {
				t.Skip("Mitogen is not installed")
			}
			found := patched(t, table, strategy)
			for _, p := range table {
				if !p.has(t, core, strategy == Mitogen) {
					continue
				}
				checkPatch(t, p, found)
			}
		})
	}
}

// checkPatch compares a row with what was found.
func checkPatch(t *testing.T, p patch, found map[string]any) {
	t.Helper()
	ours := 0
	for _, name := range p.names {
		switch got := found[name]; {
		case got == "missing" && strings.HasPrefix(p.versions, "Mitogen"):
			continue // another version has it
		case got == "missing":
			t.Errorf("ansible has no %s", name)
		case p.how == "replaced" && got != "ours":
			t.Errorf("%s is not replaced", name)
		case p.how == "set" && got != false:
			t.Errorf("%s is %v", name, got)
		case (p.how == "object" || p.how == "hook") && got != "theirs":
			t.Errorf("%s is replaced for all", name)
		case !slices.Contains([]string{"replaced", "set", "object", "hook"}, p.how):
			t.Errorf("%s is %q: no such way", name, p.how)
		}
		ours++
	}
	if ours == 0 {
		t.Errorf("none of %q is there", p.names)
	}
}

// patched runs a playbook on a host that is this machine and returns what
// became of each name.
func patched(t *testing.T, table []patch, strategy string) map[string]any {
	t.Helper()
	callback, err := os.ReadFile("testdata/patches/patched.py")
	if err != nil {
		t.Fatal(err)
	}
	repo := gittest.Repository(t, map[string]string{
		"ansible.cfg":          "[defaults]\ninventory = hosts\ncallback_plugins = callbacks\ncallbacks_enabled = patched\n",
		"hosts":                "web1\nweb2\n",
		"callbacks/patched.py": string(callback),
		"play.yml": "- hosts: all\n  gather_facts: false\n  tasks:\n    - set_fact: {a: 1, cacheable: true}\n" +
			"    - name: \"{{ ansible_facts.a }}\"\n      debug: {msg: \"{{ ansible_facts.a }}\"}\n",
	})
	names, out := filepath.Join(t.TempDir(), "names"), filepath.Join(t.TempDir(), "out")
	var lines []string
	for _, p := range table {
		lines = append(lines, p.names...)
	}
	if err := os.WriteFile(names, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := append(os.Environ(), "PATCHES="+names, "PATCHED="+out)
	c := open(t, Options{Repository: repository.Options{Repo: repo, Environ: environ}, Strategy: strategy})
	p := c.Playbook(PlaybookOptions{Revision: revision(t, c, ""), Path: "play.yml", Conffs: true})
	runUnbound(t, p, target{name: "web1", enter: []string{"env"}})
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	if err := json.Unmarshal(data, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// runUnbound runs ansible with the capabilities of this process, which takes no
// root.
func runUnbound(t *testing.T, p *Playbook, targets ...target) {
	t.Helper()
	w, err := p.controller.workspace(t.Context(), p.options.Revision.Commit)
	if err != nil {
		t.Fatal(err)
	}
	defer w.remove()
	s, err := p.controller.session(t.Context(), w.Copy)
	if err != nil {
		t.Fatal(err)
	}
	how := p.strategy(s.settings)
	files, err := p.writeFiles(w.Copy, targets, how.mitogen)
	if err != nil {
		t.Fatal(err)
	}
	record, err := p.newRecord(w.Copy, targets)
	if err != nil {
		t.Fatal(err)
	}
	argv := p.argv(s, files)
	var said strings.Builder
	err = process{
		argv: argv[slices.Index(argv, s.programs.playbook):], dir: w.Root,
		env:    append(s.playbookEnviron(repository.Installed{}, files.description), how.environ()...),
		output: &said, events: record.read,
	}.run(t.Context())
	if err != nil || !record.finished {
		t.Fatalf("running ansible: finished %t, %v\n%s", record.finished, err, &said)
	}
	reads, err := os.ReadFile(files.description + ".reads")
	if err != nil || !strings.Contains(string(reads), "fplay.yml\x00") {
		t.Errorf("the audit hook did not note the playbook: %q, %v", reads, err)
	}
}

// own are attributes of our own objects, which are not patches.
var own = []string{"plugin_utils/alone.py run", "plugin_utils/reads.py done", "plugin_utils/guard.py vauban_task", "callback/events.py inventory"}

// TestPatchesInSources finds each patch of the plugins in the table, and each
// row of the table in the plugins.
func TestPatchesInSources(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	out, err := exec.Command(python, "-B", "testdata/patches/assignments.py", collectionFolder+"/plugins").Output()
	if err != nil {
		t.Fatal(err)
	}
	inSources := slices.Compact(slices.Sorted(strings.Lines(string(out))))
	for i, line := range inSources {
		inSources[i] = strings.TrimSpace(line)
	}
	var inTable []string
	for _, p := range patchTable(t) {
		for _, file := range p.files {
			for _, name := range p.names {
				inTable = append(inTable, file+" "+name[strings.LastIndex(name, ".")+1:])
			}
		}
	}
	for _, found := range inSources {
		if !slices.Contains(inTable, found) && !slices.Contains(own, found) {
			t.Errorf("%s is patched and not in the table of %s/README.md", found, collectionFolder)
		}
	}
	// an attribute of the strategy itself, which it has from ansible
	inSources = append(inSources, "strategy/independent.py _variable_manager")
	for _, row := range append(inTable, own...) {
		if !slices.Contains(inSources, row) {
			t.Errorf("%s is in a list and not patched", row)
		}
	}
}
