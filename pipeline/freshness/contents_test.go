package freshness

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/ansible"
	"vauban/config"
)

// TestContentsElsewhere: a machine without the file leaves the base alone.
func TestContentsElsewhere(t *testing.T) {
	var log strings.Builder
	j := &Judge{Config: &config.Config{Dir: t.TempDir()}, Records: &Records{dir: t.TempDir(), log: slog.New(slog.NewTextHandler(&log, nil))}}
	b := &config.Base{Name: "debian/iso", Source: config.Source{Kind: config.File, Value: "root.raw"}}
	before := ansible.Inputs{"the content of `file:`": "1234", "arch": "amd64"}
	if now := j.contents(t.Context(), b, before); len(now) != 1 || now["the content of `file:`"] != "1234" {
		t.Errorf("inputs: %v", now)
	}
	if !strings.Contains(log.String(), "cannot check whether") {
		t.Errorf("log: %s", log.String())
	}
	if err := os.WriteFile(filepath.Join(j.Config.Dir, "root.raw"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if now := j.contents(t.Context(), b, before); now["the content of `file:`"] == "1234" {
		t.Error("a file that is here counts as it was")
	}
}
