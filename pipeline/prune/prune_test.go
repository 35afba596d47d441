package prune

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/registry"
)

// A run that is killed as it sets a tag may leave one that names nothing.
func TestPruneTagOfAKilledRun(t *testing.T) {
	stateDir := t.TempDir()
	reg, err := registry.Open(t.Context(), registry.Options{StateDir: stateDir})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	const old, kept, dead = "2026-11-20T120000Z", "2026-11-20T130000Z", "2026-11-20T140000Z"
	for _, tag := range []string{old, kept} {
		if _, err := reg.PushArtifact(t.Context(), "web", tag, "text/plain", []byte(tag)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(stateDir, "registry/docker/registry/v2/repositories/web/_manifests/tags", dead, "current"), 0o700); err != nil {
		t.Fatal(err)
	}

	var removed []string
	p := pruner{PruneOptions: PruneOptions{Registry: reg, Keep: 1, Removed: func(_, name string) { removed = append(removed, name) }}}
	if err := p.registry(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(removed)
	if diff := cmp.Diff([]string{"web:" + old, "web:" + dead}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	tags, err := reg.Tags(t.Context(), "web")
	if diff := cmp.Diff([]string{kept}, tags); err != nil || diff != "" {
		t.Errorf("tags (-want +got), %v:\n%s", err, diff)
	}
}
