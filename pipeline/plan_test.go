package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/config"
	"vauban/pipeline/plan"
)

// TestNewPlanRefusesNames: a name that cannot be published is refused before
// anything is built, unless it never will be.
func TestNewPlanRefusesNames(t *testing.T) {
	for _, tt := range []struct{ neverUpload, name, want string }{
		{"", "linux", `config.yml:4:3: master "linux" cannot be published`},
		{"", "releases", `config.yml:5:3: master "releases" cannot be published`},
		{"linux", "linux", ""},
	} {
		path := filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(path, []byte("configuration: {never_upload: ["+tt.neverUpload+"]}\nsuite:\n  release: bookworm\n  linux:\n  releases:\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewPlan(cfg, plan.Request{Names: []string{tt.name}, Stage: plan.All})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, never_upload %s: %v, want %q", tt.name, tt.neverUpload, err, tt.want)
		}
	}
}
