package provenance

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/config"
)

func TestMadeBy(t *testing.T) {
	labels := map[string]string{LabelMaster: "web", LabelBranch: "main", LabelCommit: "c0ffee"}
	for stage, want := range map[string]Made{
		"b.yml":            {Master: "web", Stage: "b.yml", Branch: "main", Commit: "c0ffee"},
		"fix@b.yml":        {Master: "web", Stage: "fix@b.yml", Branch: "main", Commit: "c0ffee"},
		"nginx/Dockerfile": {Master: "web", Stage: "nginx/Dockerfile"},
		"":                 {Master: "web"},
	} {
		labels[LabelStage] = stage
		if diff := cmp.Diff(want, MadeBy(labels)); diff != "" {
			t.Errorf("stage %q (-want +got):\n%s", stage, diff)
		}
	}
}

// Whatever the labels of an image made elsewhere say is taken or refused, and a
// commit is only said of a playbook.
func FuzzLabels(f *testing.F) {
	f.Add("web", "", "site.yml", "main", "abc", original, originalPackages)
	f.Add("", "h1", "Dockerfile:x", "main", "abc", "stages: []", "")
	f.Add("", "", "b@../x.yml", "", "", "- ", "packages: {}")
	f.Fuzz(func(t *testing.T, master, host, stage, branch, commit, imginfo, packages string) {
		labels := map[string]string{LabelMaster: master, LabelHost: host, LabelStage: stage, LabelBranch: branch,
			LabelCommit: commit, LabelImginfo: imginfo, LabelPackages: packages}
		made := MadeBy(labels)
		if parsed, err := config.ParseStage(stage); (err != nil || parsed.Playbook == "") && made.Commit+made.Branch != "" {
			t.Errorf("stage %q has commit %q of %q", stage, made.Commit, made.Branch)
		}
		if _, ok, err := HistoryTold(labels); ok != (imginfo != "") || !ok && err != nil {
			t.Errorf("a history: %v, %v", ok, err)
		}
	})
}
