package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSecretsEnvIsPrivate reads secrets that other users can read too, which
// are refused before anything is parsed.
func TestSecretsEnvIsPrivate(t *testing.T) {
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true, 0o601: true, 0o666: true} {
		dir := writeFiles(t, map[string]string{"config.yml": "bookworm:\n", ".secrets.env": "VAULT_TOKEN=hunter2\n"})
		file := filepath.Join(dir, ".secrets.env")
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		c, err := Load(filepath.Join(dir, "config.yml"))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := LoadSettings(c, nil)
		switch {
		case !refused && (err != nil || got.VaultToken.Reveal() != "hunter2"):
			t.Errorf("mode %o: error %v", mode, err)
		case refused && (err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("mode %o: error %v; want the chmod", mode, err)
		}
	}
}

// TestSecretsEnvIsAFile puts something in the file's place that would be read
// for ever.
func TestSecretsEnvIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".secrets.env")
	for what, make := range map[string]func() error{
		"a pipe":               func() error { return unix.Mkfifo(file, 0o600) },
		"a directory":          func() error { return os.Mkdir(file, 0o700) },
		"a link to a device":   func() error { return os.Symlink("/dev/zero", file) },
		"a file of many bytes": func() error { return errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 1<<40)) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := readSecretsEnv(file, ""); err == nil {
			t.Errorf("%s is read", what)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
