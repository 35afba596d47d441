package provenance

import (
	"testing"

	"github.com/google/go-cmp/cmp"
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
