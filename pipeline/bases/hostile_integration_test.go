//go:build integration

package bases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/config"
	"vauban/internal/hostile"
)

// TestHostileBases names as the file of a base what would never end.
func TestHostileBases(t *testing.T) {
	dir := t.TempDir()
	for _, k := range hostile.Kinds(filepath.Join(dir, "secret")) {
		if strings.HasPrefix(k.Name, "link to /") || strings.Contains(k.Name, "builder") || strings.HasPrefix(k.Name, "sparse") {
			continue // a base's file is the builder's own
		}
		path := filepath.Join(dir, "base")
		if err := hostile.Plant(dir, "base", k); err != nil {
			t.Fatal(err)
		}
		o := &Opener{Config: &config.Config{}}
		b := &config.Base{Source: config.Source{Kind: config.File, Value: path}, Keyring: path}
		root, err := o.file(t.Context(), b, nil)
		if err == nil {
			t.Errorf("%s: it is the file of a base: %v", k.Name, root)
		}
		if _, err := (Digests{dir}).digest(t.Context(), path); err == nil {
			t.Errorf("%s: it was digested", k.Name)
		}
		if _, err := o.keyring(t.Context(), b); err == nil {
			t.Errorf("%s: it is a keyring", k.Name)
		}
	}
}

// TestHostileSystems looks for a system's name in hostile files: the check ends,
// and nothing of the builder gets into its error.
func TestHostileSystems(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("PRETTY_NAME="+hostile.Secret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, k := range hostile.Kinds(secret) {
		root := t.TempDir()
		if err := hostile.Plant(root, "/etc/os-release", k); err != nil {
			t.Fatal(err)
		}
		err := hostile.In(root, func() error { return CheckSystem(t.Context(), "/") })
		if err == nil || !strings.HasPrefix(err.Error(), "it has no /bin/sh") {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
}
