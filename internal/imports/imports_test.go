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

// arrows are the packages of this module, each with those that it may import.
const arrows = `
Dockerfiles:
ansible: ansible/repository internal/command internal/memo layers
ansible/repository: internal/command internal/damage internal/filelock internal/git internal/memo internal/near internal/sealed
boot: internal/cmdline internal/gateway internal/thread
config: internal/beneath internal/cmdline internal/near internal/redact internal/remedy internal/squashfs internal/text
doctor: ansible/repository export internal/damage internal/sealed layers/daemon layers/store pipeline/freshness registry release
download: internal/beneath internal/durable internal/filelock internal/outward internal/pace internal/retry
drift: internal/beneath internal/command layers/diff
export: internal/beneath internal/cmdline internal/command internal/durable internal/filelock internal/squashfs internal/text
layers: internal/beneath internal/command internal/damage internal/filelock internal/gateway internal/owned internal/seccomp internal/thread layers/aptpool layers/daemon layers/diff layers/enter layers/inside layers/store
layers/aptpool: internal/beneath internal/decompress
layers/daemon: internal/damage internal/filelock internal/owned layers/store
layers/diff:
layers/dockerfile: internal/beneath internal/decompress internal/filelock internal/outward internal/pace internal/retry layers
layers/enter:
layers/inside: internal/cmdline
layers/store: internal/beneath internal/damage
pipeline: Dockerfiles ansible ansible/repository config export internal/beneath internal/durable internal/filelock internal/sealed internal/text layers layers/diff layers/dockerfile pipeline/bases pipeline/freshness pipeline/gate pipeline/identities pipeline/plan pipeline/provenance pipeline/recipes progress registry release scan
pipeline/bases: ansible config download internal/beneath internal/command internal/decompress internal/durable layers registry
pipeline/gate: ansible ansible/repository config internal/beneath internal/text layers layers/dockerfile pipeline/provenance registry scan vault
pipeline/freshness: Dockerfiles ansible ansible/repository config export internal/damage internal/durable internal/filelock internal/text layers layers/diff layers/dockerfile pipeline/bases pipeline/plan pipeline/provenance pipeline/recipes registry release
pipeline/identities: config export internal/text layers/diff pipeline/freshness release scan vault
pipeline/plan: config
pipeline/provenance: ansible config internal/beneath layers
pipeline/prune: export layers registry release
pipeline/recipes: Dockerfiles boot config layers layers/dockerfile
progress: internal/text
registry: internal/beneath internal/damage internal/durable internal/filelock internal/outward internal/pace internal/redact internal/remedy internal/retry internal/text
release: internal/durable internal/filelock internal/text
scan: internal/redact
vault: internal/durable internal/filelock internal/git internal/redact internal/retry
internal/beneath:
internal/cmdline:
internal/command:
internal/damage: internal/remedy
internal/decompress:
internal/durable:
internal/filelock:
internal/gateway:
internal/git: internal/command internal/redact
internal/gittest:
internal/hostile:
internal/imports:
internal/memo:
internal/near: internal/text
internal/outward:
internal/owned:
internal/pace:
internal/sealed: internal/beneath internal/damage internal/durable
internal/redact:
internal/remedy:
internal/retry: internal/outward
internal/seccomp:
internal/squashfs:
internal/testenv: internal/filelock layers layers/daemon
internal/text:
internal/thread:
internal/treecmp:
`

// allowed reads arrows.
func allowed() map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(arrows)) {
		name, may, _ := strings.Cut(line, ":")
		all[name] = strings.Fields(may)
	}
	return all
}

// containerdClient may be imported by the engine alone.
const containerdClient = "github.com/containerd/containerd/v2/client"

func TestImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "vauban/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	may, seen := allowed(), 0
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
		check(t, may, strings.TrimPrefix(p.ImportPath, "vauban/"), p.Imports)
	}
	if seen < 10 {
		t.Errorf("only %d packages were listed", seen)
	}
}

func check(t *testing.T, allowed map[string][]string, name string, imports []string) {
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

// small are the programs that start for every command in a container, with the
// modules that each may hold.
var small = map[string][]string{
	"vauban/cmd/vauban-enter":  {"golang.org/x/sys/unix"},
	"vauban/cmd/vauban-inside": {"golang.org/x/sys/unix", "github.com/coreos/go-systemd/v22/unit"},
}

func TestSmallPrograms(t *testing.T) {
	for program, may := range small {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		if !slices.Contains(deps, "golang.org/x/sys/unix") {
			t.Errorf("%s: only %d packages were listed", program, len(deps))
		}
		for _, dep := range deps {
			module, _, _ := strings.Cut(dep, "/")
			if strings.Contains(module, ".") && !slices.Contains(may, dep) || dep == "net" || dep == "net/http" {
				t.Errorf("%s holds %s: it starts for every command in a container, and is to stay small", program, dep)
			}
		}
	}
}
