package main

import (
	"path/filepath"
	"testing"

	"vauban/config"

	"github.com/google/go-cmp/cmp"
)

// TestKeyrings: each base's keys sign lists that containers may share.
func TestKeyrings(t *testing.T) {
	file := configFile(t, "bookworm: {keyring: keys/own.gpg}\ntrixie: {keyring: /etc/keys.asc}\nbullseye:\n")
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	got := keyrings(cfg)
	if diff := cmp.Diff([]string{filepath.Join(filepath.Dir(file), "keys/own.gpg"), "/etc/keys.asc"}, got); diff != "" {
		t.Error(diff)
	}
}
