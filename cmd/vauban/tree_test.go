package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

const forest = `
suite:
  release: bookworm
  name: base/iso
  web:
    stages: [a.yml, fix/x@b.yml]
    web-eu:
      conffs: "web*,!web09"
  db:
    stages: [db.yml]
other:
  release: trixie
  name: other/iso
`

// TestOutputs compares what reads only config.yml with testdata/.
func TestOutputs(t *testing.T) {
	cfg := configFile(t, forest)
	for name, args := range map[string][]string{
		"tree.txt":     {"tree"},
		"tree.json":    {"tree", "--output", "json"},
		"tree.dot":     {"tree", "--output", "dot"},
		"tree.mermaid": {"tree", "--output", "mermaid"},
		"plan.json":    {"plan", "web-eu", "--build-parents", "1", "--output", "json"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := vauban(t, append([]string{"--config", cfg}, args...)...)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			golden(t, filepath.Join("testdata", name), out)
		})
	}
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale: go test ./cmd/vauban -update (-want +got):\n%s", path, diff)
	}
}
