package freshness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/config"
)

func TestPackingOptions(t *testing.T) {
	cfg := &config.Config{Path: "config.yml", Dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(cfg.Dir, "lean"), []byte("usr/share/doc/*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	master := func(options map[string]string) *config.Master {
		return &config.Master{Name: "web", Export: options, Pos: config.Position{Line: 3, Column: 5}}
	}
	o, err := PackingOptions(cfg, master(map[string]string{"compression": "gzip", "level": "7", "exclude": "lean"}), nil)
	if err != nil || o.Compression != "gzip" || o.Level != 7 || len(o.Exclude) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, tt := range []struct{ name, value, want string }{
		{"level", "high", `level "high"`},
		{"exclude", "missing", "no such file"},
	} {
		_, err := PackingOptions(cfg, master(map[string]string{tt.name: tt.value}), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "config.yml:3:5: ") {
			t.Errorf("%s: %s: %v, want %q", tt.name, tt.value, err, tt.want)
		}
	}
}
