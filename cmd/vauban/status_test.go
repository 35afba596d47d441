package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
	"vauban/release"
)

// What is served of a master is reported where it is not the usual.
func TestPublishedLines(t *testing.T) {
	for name, tt := range map[string]struct {
		published *freshness.PublishedStatus
		want      []string
	}{
		"nothing":  {nil, nil},
		"all well": {&freshness.PublishedStatus{Release: older}, nil},
		"a rollback": {&freshness.PublishedStatus{Release: older, RolledBack: &release.Pin{Release: older, From: newer}, Candidates: []string{"c"}},
			[]string{"rolled back: to " + older + " from " + newer + "; builds publish candidates until vauban deploy web", "candidate: c is not served"}},
		"hosts that are missing": {&freshness.PublishedStatus{Release: older, Missing: []string{"h1", "h2"}}, []string{"incomplete: " + older + " has no conffs of h1 h2"}},
	} {
		var got []string
		for _, line := range publishedLines(freshness.MasterStatus{Name: "web", Published: tt.published}) {
			got = append(got, line[0]+": "+line[1])
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", name, diff)
		}
	}
}

// unbuilt is a configuration of which nothing is built, with its repository.
func unbuilt(t *testing.T) (args []string) {
	t.Helper()
	cfg := configFile(t, "configuration:\n  ansible_repo: playbooks\n"+forest)
	dir := filepath.Join(filepath.Dir(cfg), "playbooks")
	for name, text := range map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts\n", "hosts": "web01\nweb02\nweb09\n",
		"a.yml": "- hosts: all\n", "b.yml": "- hosts: all\n", "db.yml": "- hosts: all\n",
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{"init --quiet --initial-branch=main", "add .", "-c user.name=t -c user.email=t@example.com commit --quiet --message=c"} {
		cmd := exec.CommandContext(t.Context(), "git", strings.Fields(line)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", line, err, out)
		}
	}
	t.Chdir(filepath.Dir(cfg))
	return []string{"--config", "config.yml", "--state", t.TempDir()}
}

// TestStatus asks a machine that has built nothing.
func TestStatus(t *testing.T) {
	global := unbuilt(t)
	ask := func(args ...string) string {
		t.Helper()
		code, out, errs := vauban(t, append(global, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
		return out
	}
	golden(t, filepath.Join(testdata, "status.txt"), ask("status"))
	golden(t, filepath.Join(testdata, "fresh.tree.txt"), ask("tree", "--fresh"))
	golden(t, filepath.Join(testdata, "fresh.tree.dot"), ask("tree", "--fresh", "--output", "dot"))
	golden(t, filepath.Join(testdata, "fresh.tree.mermaid"), ask("tree", "--fresh", "--output", "mermaid"))
	golden(t, filepath.Join(testdata, "fresh.plan.json"), ask("plan", "web-eu", "--fresh", "--output", "json"))
	golden(t, filepath.Join(testdata, "if-stale.txt"), ask("build", "db", "--if-stale", "--check"))

	var status freshness.Status
	if err := json.Unmarshal([]byte(ask("status", "web-eu", "--output", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Bases) != 0 || len(status.Masters) != 1 || len(status.Masters[0].Hosts) != 2 || strings.Join(status.Uncovered, " ") != "web09" {
		t.Errorf("%+v", status)
	}
	for name, args := range map[string][]string{
		"an unknown master":          {"status", "nothing"},
		"an option for a branch":     {"status", "--branch", "-x"},
		"no names":                   {"build"},
		"two images for conffs":      {"build", "--if-stale", "--on", "latest"},
		"a branch that is not there": {"status", "--branch", "gone"},
		"a check of no host":         {"build", "web-eu", "--check", "--limit", "nope*"},
		"a plan of no host":          {"plan", "web-eu", "--limit", "nope*"},
	} {
		want := 2
		if name == "a branch that is not there" || strings.HasSuffix(name, "no host") {
			want = 1
		}
		if code, _, errs := vauban(t, append(global, args...)...); code != want || errs == "" {
			t.Errorf("%s: exit code %d, want %d: %s", name, code, want, errs)
		}
	}
}

// testdata stays where it is when a test changes its folder.
var testdata = func() string {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return dir
}()

// TestTreeInDocs compares the picture in docs/freshness.md with the demo's
// tree.
func TestTreeInDocs(t *testing.T) {
	const page = "../../docs/freshness.md"
	code, out, errs := vauban(t, "--config", "../../config.yml", "tree", "--output", "mermaid")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```mermaid\n.*?```")
	if !block.Match(text) {
		t.Fatalf("%s has no picture", page)
	}
	golden(t, page, block.ReplaceAllLiteralString(string(text), "```mermaid\n"+out+"```"))
}

func TestStatusExitCode(t *testing.T) {
	global := unbuilt(t)
	code, out, errs := vauban(t, append(global, "status", "--exit-code")...)
	if code != 3 || !strings.Contains(out, "never built") || errs != "" {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	for _, tt := range []struct {
		status freshness.Status
		fresh  bool
	}{
		{freshness.Status{}, true},
		{freshness.Status{Bases: []freshness.BaseStatus{{Fresh: true}}, Masters: []freshness.MasterStatus{{Fresh: true, Hosts: []freshness.HostStatus{{Fresh: true}}}}}, true},
		{freshness.Status{Bases: []freshness.BaseStatus{{}}}, false},
		{freshness.Status{Masters: []freshness.MasterStatus{{}}}, false},
		{freshness.Status{Masters: []freshness.MasterStatus{{Fresh: true, Hosts: []freshness.HostStatus{{}}}}}, false},
		{freshness.Status{Masters: []freshness.MasterStatus{{Fresh: true, Release: plan.Verdict{Why: []string{"x"}}}}}, false},
		{freshness.Status{Masters: []freshness.MasterStatus{{Fresh: true, Gone: []string{"web09"}}}}, false},
	} {
		if tt.status.Fresh() != tt.fresh {
			t.Errorf("%+v is fresh: %v", tt.status, !tt.fresh)
		}
	}
}
