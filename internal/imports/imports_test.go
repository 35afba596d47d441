// Package imports holds the test of who may import whom: data goes one way,
// from the command through the build to packages that know nothing of each
// other.
package imports

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed are the packages of this module that each may import.
var allowed = map[string][]string{
	"config":            {"internal/beneath", "internal/cmdline", "internal/near", "internal/squashfs"},
	"registry":          {"internal/beneath", "internal/damage", "internal/durable", "internal/filelock", "internal/outward", "internal/pace"},
	"download":          {"internal/beneath", "internal/durable", "internal/filelock", "internal/outward", "internal/pace"},
	"export":            {"internal/beneath", "internal/cmdline", "internal/command", "internal/durable", "internal/filelock", "internal/squashfs"},
	"boot":              {"internal/cmdline", "internal/command"},
	"vault":             {"internal/durable", "internal/filelock", "internal/git"},
	"Dockerfiles":       {},
	"doctor":            {"ansible", "build", "export", "internal/damage", "internal/sealed", "layers/daemon", "layers/store", "registry"},
	"progress":          {},
	"scan":              {},
	"drift":             {"internal/beneath", "internal/command", "layers/diff"},
	"layers/aptpool":    {"internal/beneath"},
	"layers/daemon":     {"internal/damage", "internal/filelock", "internal/owned", "layers/store"},
	"layers/diff":       {},
	"layers/store":      {"internal/beneath", "internal/damage"},
	"layers/enter":      {},
	"layers":            {"Dockerfiles", "internal/beneath", "internal/command", "internal/damage", "internal/filelock", "internal/gateway", "internal/owned", "internal/outward", "internal/pace", "internal/seccomp", "layers/aptpool", "layers/daemon", "layers/diff", "layers/enter", "layers/store"},
	"ansible":           {"internal/command", "internal/damage", "internal/filelock", "internal/git", "internal/near", "internal/sealed", "layers"},
	"build":             {"Dockerfiles", "ansible", "boot", "config", "download", "export", "internal/beneath", "internal/command", "internal/damage", "internal/durable", "internal/filelock", "internal/sealed", "layers", "layers/diff", "progress", "registry", "scan", "vault"},
	"internal/testenv":  {"internal/filelock", "layers", "layers/daemon"},
	"internal/treecmp":  {},
	"internal/beneath":  {},
	"internal/hostile":  {},
	"internal/imports":  {},
	"internal/gateway":  {},
	"internal/near":     {},
	"internal/owned":    {},
	"internal/command":  {},
	"internal/git":      {"internal/command"},
	"internal/durable":  {},
	"internal/filelock": {},
	"internal/sealed":   {"internal/beneath", "internal/damage", "internal/durable"},
	"internal/damage":   {},
	"internal/seccomp":  {},
	"internal/outward":  {},
	"internal/pace":     {},
	"internal/squashfs": {},
	"internal/cmdline":  {},
}

// containerdClient may be imported by the engine alone.
const containerdClient = "github.com/containerd/containerd/v2/client"

func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "vauban/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for list := json.NewDecoder(strings.NewReader(string(out))); ; seen++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		check(t, strings.TrimPrefix(p.ImportPath, "vauban/"), p.Imports)
	}
	if seen < 10 {
		t.Errorf("only %d packages were listed", seen)
	}
}

func check(t *testing.T, name string, imports []string) {
	if strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "test/") {
		return // the command composes everything, the tests use it
	}
	may, ok := allowed[name]
	if !ok {
		t.Errorf("package %q is not in the table of who may import whom", name)
	}
	for _, path := range imports {
		own, isOwn := strings.CutPrefix(path, "vauban/")
		if isOwn && !slices.Contains(may, own) {
			t.Errorf("%q imports %q: the arrow goes the wrong way", name, own)
		}
		if path == containerdClient && name != "layers" && name != "layers/daemon" {
			t.Errorf("%q imports containerd's client, which belongs to layers", name)
		}
	}
}
