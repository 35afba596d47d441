package freshness

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vauban/ansible"
	"vauban/config"
	"vauban/pipeline/recipes"
)

// releaseConfig has a master with hosts and one that is a machine itself.
const releaseConfig = `
suite:
  release: bookworm
  name: base/iso
  web:
    stages: [play.yml]
    conffs: web
    export: {exclude: lean}
  alone:
    stages: [play.yml]
`

// TestReleaseInputs changes what a release is made with, one after the other.
func TestReleaseInputs(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("config.yml", releaseConfig)
	put("lean", "usr/share/doc/*\n")
	cfg, err := config.Load(filepath.Join(dir, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	const kernel = "6.1.0-1-amd64"
	inputsOf := func(name string, identities bool) ansible.Inputs {
		t.Helper()
		for _, m := range cfg.Masters() {
			if m.Name != name {
				continue
			}
			key, err := recipes.InitramfsKey(t.Context(), cfg, m, kernel, nil)
			if err != nil {
				t.Fatal(err)
			}
			inputs, err := RootfsInputs(cfg, m, identities)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(inputs, KernelInputs(m, key))
			return inputs
		}
		t.Fatalf("no master %q", name)
		return nil
	}
	for _, tt := range []struct {
		name       string
		file, text string
		master     string
		vault      bool
		want       string
	}{
		{"nothing", "", "", "web", false, ""},
		{"the list of what does not ship", "lean", "usr/share/man/*\n", "web", false, "export"},
		{"another master's list", "lean", "usr/share/info/*\n", "alone", false, ""},
		{"dracut's settings", "Dockerfiles/dracut.conf", "hostonly=no\n", "alone", false, "Dockerfile.initramfs or what it copies"},
		{"the script", "Dockerfiles/make-initramfs.sh", "#!/bin/sh\n", "web", false, "Dockerfile.initramfs or what it copies"},
		{"the recipe of bases", "Dockerfiles/Dockerfile.base", "FROM x\n", "web", false, ""},
		{"a vault", "", "", "alone", true, VaultInput},
		{"a vault for hosts", "", "", "web", true, ""},
	} {
		before := inputsOf(tt.master, false)
		if tt.file != "" {
			put(tt.file, tt.text)
		}
		got := strings.Join(changedInputs("", before, inputsOf(tt.master, tt.vault)), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestReleasePartsOfOtherRuns: a run that publishes conffs alone says nothing of
// what the root filesystem and the kernel were made with.
func TestReleasePartsOfOtherRuns(t *testing.T) {
	var r Record
	old, changed := ansible.Inputs{"x": "old"}, ansible.Inputs{"x": "new"}
	r.SetRelease(ReleaseRecord{Timestamp: "1"}, old, old)
	r.SetRelease(ReleaseRecord{Timestamp: "2"}, nil, changed)
	if r.Release.Timestamp != "2" || r.Release.RootfsInputs["x"] != "old" || r.Release.KernelInputs["x"] != "new" {
		t.Errorf("%+v", r.Release)
	}
	r.SetRelease(ReleaseRecord{Timestamp: "3"}, nil, nil)
	if r.Release.RootfsInputs["x"] != "old" || r.Release.KernelInputs["x"] != "new" {
		t.Errorf("conffs alone: %+v", r.Release)
	}
}
