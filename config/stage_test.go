package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStage(t *testing.T) {
	// Those that are refused are in testdata/stages.
	for text, want := range map[string]Stage{
		"a.yml":              {Playbook: "a.yml"},
		"sub/a.yaml":         {Playbook: "sub/a.yaml"},
		"./sub//a.yml":       {Playbook: "sub/a.yml"},
		"b@a.yml":            {Branch: "b", Playbook: "a.yml"},
		"b/c-d_e.f@a.yml":    {Branch: "b/c-d_e.f", Playbook: "a.yml"},
		"b@c@a.yml":          {Branch: "b@c", Playbook: "a.yml"},
		"été@my a.yml":       {Branch: "été", Playbook: "my a.yml"},
		"Dockerfile:a":       {Dockerfile: "a"},
		"Dockerfile:./a/b@c": {Dockerfile: "a/b@c"},
	} {
		got, err := ParseStage(text)
		want.Raw = text
		if err != nil || got != want {
			t.Errorf("ParseStage(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestRunBranch(t *testing.T) {
	for _, tt := range []struct{ stage, cli, master, want string }{
		{"", "", "", ""},
		{"", "", "master", "master"},
		{"", "cli", "master", "cli"},
		{"", "cli", "", "cli"},
		{"stage", "", "", "stage"},
		{"stage", "cli", "master", "stage"},
	} {
		s := Stage{Branch: tt.stage, MasterBranch: tt.master}
		if got := s.RunBranch(tt.cli); got != tt.want {
			t.Errorf("branch %q with --branch %q in a master of branch %q runs at %q, want %q",
				tt.stage, tt.cli, tt.master, got, tt.want)
		}
	}
}

func TestHostStages(t *testing.T) {
	const tree = `
bookworm:
  branch: of-base
  stages: [base.yml]
  parent:
    branch: of-parent
    init: systemd
    stages: [parent.yml, own@parent.yml]
    child:
      stages: [child.yml, Dockerfile:d]
      conffs: "child*"
    sibling:
      stages: [sibling.yml]
`
	whole := []string{"base.yml of-base", "parent.yml of-parent systemd", "own@parent.yml own systemd", "child.yml ", "Dockerfile:d "}
	tests := []struct {
		name, configuration string
		want                []string
	}{
		{"whole ancestry", "", whole},
		{"ignored", "ignore_stage_in_conffs: [base.yml]", whole[1:]},
		{"ignored at every branch", "ignore_stage_in_conffs: [parent.yml]", []string{whole[0], whole[3], whole[4]}},
		{"ignored at one branch", "ignore_stage_in_conffs: [own@parent.yml]", []string{whole[0], whole[1], whole[3], whole[4]}},
		{"ignored Dockerfile", `ignore_stage_in_conffs: ["Dockerfile:d"]`, whole[:4]},
		{"always, first", "always_apply_stage_in_conffs: [z.yml, b@y.yml]",
			append([]string{"z.yml ", "b@y.yml b"}, whole...)},
		{"always and ignored moves to the front",
			"always_apply_stage_in_conffs: [child.yml]\n  ignore_stage_in_conffs: [child.yml]",
			[]string{"child.yml ", whole[0], whole[1], whole[2], whole[4]}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := read("config.yml", "configuration:\n  "+tt.configuration+tree)
			if err != nil {
				t.Fatal(err)
			}
			_, child, err := c.Find("child")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range child.HostStages(c) {
				line := s.Raw + " " + s.RunBranch("")
				if s.Init != "" {
					line += " " + s.Init
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}
