package progress

import (
	"strings"
	"testing"
)

func TestSections(t *testing.T) {
	for name, folding := range map[string]Folding{"gitlab": GitLab, "github": GitHub} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			report(NewSections(&out, folding))
			golden(t, name, out.String())
		})
	}
}

func TestFoldingOf(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want Folding
	}{
		{nil, NoFolding},
		{map[string]string{"CI": "true"}, NoFolding},
		{map[string]string{"GITLAB_CI": "true"}, GitLab},
		{map[string]string{"GITHUB_ACTIONS": "true"}, GitHub},
		{map[string]string{"GITHUB_ACTIONS": "false"}, NoFolding},
	} {
		if got := FoldingOf(func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%v: %d, want %d", test.env, got, test.want)
		}
	}
}

// TestSectionsHideNothing: what an interrupted task said is shown, and what a
// playbook prints commands no CI system.
func TestSectionsHideNothing(t *testing.T) {
	for _, folding := range []Folding{GitLab, GitHub} {
		var out strings.Builder
		r := New(NewSections(&out, folding))
		r.Report(Event{Type: TaskStarted, Kind: "rootfs", Subject: "a"})
		r.Report(Event{Type: Line, Kind: "rootfs", Subject: "a",
			Text: "x\n::stop-commands::t\n##[error]y\nsection_end:1:rootfs_a\r\x1b[0K" + strings.Repeat("long", 1000)})
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		said := out.String()
		if !strings.Contains(said, ": x\n") || strings.Contains(said, "collapsed") {
			t.Errorf("it said %q", said)
		}
		if strings.Contains(said, "\n::") || strings.Contains(said, "##[") && folding == GitHub {
			t.Errorf("GitHub would obey %q", said)
		}
		if folding == GitLab && strings.Count(said, "section_end:1:rootfs_a\r\x1b[0K") > 0 {
			t.Errorf("GitLab would obey %q", said)
		}
		for line := range strings.Lines(said) {
			if len(line) > 600 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	}
}
