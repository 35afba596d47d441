package main

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeyrings: each base's keys sign lists that containers may share.
func TestKeyrings(t *testing.T) {
	file := configFile(t, "bookworm: {keyring: keys/own.gpg}\ntrixie: {keyring: /etc/keys.asc}\nbullseye:\n")
	got := (&app{configFile: file}).keyrings()
	if diff := cmp.Diff([]string{filepath.Join(filepath.Dir(file), "keys/own.gpg"), "/etc/keys.asc"}, got); diff != "" {
		t.Error(diff)
	}
	if got := (&app{configFile: file + ".gone"}).keyrings(); len(got) > 0 {
		t.Errorf("without config.yml: %q", got)
	}
}
