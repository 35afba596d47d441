//go:build integration

package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretsEnvOwner: the secrets are root's, or of the owner of config.yml.
func TestSecretsEnvOwner(t *testing.T) {
	for _, tt := range []struct {
		config, secrets int
		refused         bool
	}{{0, 0, false}, {4242, 4242, false}, {4242, 0, false}, {0, 4242, true}, {4242, 4243, true}} {
		dir := writeFiles(t, map[string]string{"config.yml": "bookworm:\n", ".secrets.env": "VAULT_PATH=a\n"})
		config, secrets := filepath.Join(dir, "config.yml"), filepath.Join(dir, ".secrets.env")
		if err := errors.Join(os.Chown(config, tt.config, 0), os.Chown(secrets, tt.secrets, 0)); err != nil {
			t.Fatal(err)
		}
		c, err := Load(config)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = LoadSettings(c, nil)
		if (err != nil) != tt.refused || tt.refused && !strings.Contains(err.Error(), "chown root: "+secrets) {
			t.Errorf("config.yml of %d, secrets of %d: error %v", tt.config, tt.secrets, err)
		}
	}
}
