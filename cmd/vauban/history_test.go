package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/pipeline/provenance"
)

const imginfo = `---
iso: debian-12.raw
date: 2026-11-20T21:13:48+00:00
stages:

    - date: 2026-11-20T21:14:00+00:00
      playbook: Dockerfile.base
      hostname: debian-12-iso
      source: debian-12/iso/raw

    - date: 2026-11-20T21:15:00+00:00
      playbook: playbook_web.yml
      hostname: web01
      source: master-12-web
      git-sha1: 241d000c558f572eb7c713030a9877333514adbc
      git-branch: main
`

const packages = `---
packages:

    - playbook: Dockerfile.base
      hostname: debian-12-iso
      packages: |
          - sed/now 1 amd64 [installed]
          + sed/now 2 amd64 [installed]

    - playbook: playbook_web.yml
      hostname: web01
      packages: |
`

func TestHistoryOfABootedRoot(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"imginfo": imginfo, "packages": packages} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := `base debian-12.raw of 2026-11-20T21:13:48+00:00

2026-11-20T21:14:00+00:00 Dockerfile.base as debian-12-iso on debian-12/iso/raw
    - sed/now 1 amd64 [installed]
    + sed/now 2 amd64 [installed]

2026-11-20T21:15:00+00:00 playbook_web.yml as web01 on master-12-web
    commit 241d000c558f572eb7c713030a9877333514adbc of branch main
`
	for _, path := range []string{root, filepath.Join(root, "imginfo")} {
		code, stdout, stderr := vauban(t, "history", path)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		if diff := cmp.Diff(want, stdout); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	code, stdout, stderr := vauban(t, "history", root, "--output", "json")
	var h provenance.History
	if err := json.Unmarshal([]byte(stdout), &h); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, stderr)
	}
	if len(h.Stages) != 2 || h.Stages[1].GitBranch != "main" || len(h.Packages) != 2 {
		t.Errorf("as JSON: %+v", h)
	}
	if code, _, _ := vauban(t, "history", t.TempDir()); code == 0 {
		t.Error("an empty directory has a history")
	}
}
