//go:build integration

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStateInAHome is what sudo in a user's checkout comes to: config.yml and
// the folders above are the user's, the state directory is root's. For another
// user's folders, it is refused.
func TestStateInAHome(t *testing.T) {
	const alice, bob = 4242, 4243
	checkout := filepath.Join(t.TempDir(), "home", "vauban")
	state, configFile := filepath.Join(checkout, ".demo/state"), filepath.Join(checkout, "config.yml")
	err := errors.Join(os.MkdirAll(filepath.Dir(state), 0o755), os.WriteFile(configFile, []byte("bookworm:\n"), 0o644))
	for _, path := range []string{filepath.Dir(checkout), checkout, configFile, filepath.Dir(state)} {
		err = errors.Join(err, os.Chown(path, alice, alice))
	}
	if err != nil {
		t.Fatal(err)
	}
	_, said, _ := vauban(t, "--config", configFile, "--state", state, "doctor")
	if !strings.Contains(said, "ok       state directory "+state+"\n") {
		t.Errorf("the owner's own checkout: %s", said)
	}
	if code, _, stderr := vauban(t, "--config", configFile, "--state", state, "status", "--branch", "none"); strings.Contains(stderr, "checking the state directory") {
		t.Errorf("status: %d: %s", code, stderr)
	}

	if err := os.Chown(filepath.Dir(checkout), bob, bob); err != nil {
		t.Fatal(err)
	}
	want := "belongs to user 4243, which could replace it: choose another place, or run `chown root: " + filepath.Dir(checkout)
	if code, said, _ := vauban(t, "--config", configFile, "--state", state, "doctor"); code != 1 || !strings.Contains(said, "MISSING  state directory "+state) || !strings.Contains(said, want) {
		t.Errorf("a folder of another above: %d: %s", code, said)
	}
	if code, _, stderr := vauban(t, "--config", configFile, "--state", state, "status"); code != 2 || !strings.Contains(stderr, want) {
		t.Errorf("status there: exit %d: %s", code, stderr)
	}
}
