package registry

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSecretFiles finds the files that are there, whatever they hold.
func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	for name, value := range map[string]string{"HOME": "home", "DOCKER_CONFIG": "docker", "REGISTRY_AUTH_FILE": "auth.json", "XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "gone"} {
		t.Setenv(name, filepath.Join(dir, value))
	}
	var want []string
	for _, name := range []string{"home/.docker/config.json", "docker/config.json", "auth.json", "run/containers/auth.json"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, file)
	}
	slices.Sort(want)
	key := filepath.Join(dir, "certs/registry.example.com:5000/client.key")
	if err := os.MkdirAll(filepath.Dir(key), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if keys := secretFiles("registry.example.com:5000/project", []string{filepath.Join(dir, "certs")}); !keys[key] || len(keys) != len(want)+1 {
		t.Errorf("the client's key is not found: %v", keys)
	}
	got := SecretFiles("")
	if files := slices.Sorted(maps.Keys(got)); !slices.Equal(files, want) {
		t.Errorf("found %q, want %q", files, want)
	}
	for file, isKey := range got {
		if isKey {
			t.Errorf("%s is taken for a key", file)
		}
	}
}
