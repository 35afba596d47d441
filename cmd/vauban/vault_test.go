package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/vault"
)

// TestVaultList lists hosts for people and for programs, without their secrets.
func TestVaultList(t *testing.T) {
	cfg := configFile(t, good)
	t.Setenv("VAULTED_SSHD_KEYS_KEY", "a passphrase")
	if code, out, errs := vauban(t, "--config", cfg, "vault", "list", "--output", "json"); code != 0 || out != "[]\n" {
		t.Errorf("an empty vault: exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	store := vault.NewLocal(filepath.Join(filepath.Dir(cfg), "vault"), "a passphrase")
	id, _, err := vault.Ensure(t.Context(), store, "web01")
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := vauban(t, "--config", cfg, "vault", "list"); code != 0 || out != "web01\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	code, out, errs := vauban(t, "--config", cfg, "vault", "list", "--output", "json")
	var listed []listedIdentity
	if err := json.Unmarshal([]byte(out), &listed); err != nil || code != 0 {
		t.Fatalf("exit code %d, stdout %q, stderr %q: %v", code, out, errs, err)
	}
	if len(listed) != 1 || listed[0].Host != "web01" || listed[0].MachineID != id.MachineID() || len(listed[0].Keys) != 3 {
		t.Errorf("listed: %+v", listed)
	}
	for i, key := range id.Keys() {
		if got := listed[0].Keys[i]; got.Fingerprint != key.Fingerprint || !strings.Contains(key.Public, got.Public) || got.Public == "" {
			t.Errorf("key %d: %+v, want %+v", i, got, key)
		}
	}
	if strings.Contains(out, "PRIVATE") {
		t.Error("private keys are listed")
	}
	for _, verb := range []string{"show", "rotate"} {
		for host, want := range map[string]string{"wbe01": `did you mean "web01"?`, "db7": "vauban vault list"} {
			code, _, errs := vauban(t, "--config", cfg, "vault", verb, host)
			if code != 1 || !strings.Contains(errs, want) || !strings.Contains(errs, "no identity in the vault") {
				t.Errorf("%s %s: exit code %d, stderr %q", verb, host, code, errs)
			}
		}
	}
	if err := os.Unsetenv("VAULTED_SSHD_KEYS_KEY"); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := vauban(t, "--config", cfg, "vault", "list"); code != 2 || !strings.Contains(errs, "VAULTED_SSHD_KEYS_KEY") {
		t.Errorf("without a vault: exit code %d, stderr %q", code, errs)
	}
}
