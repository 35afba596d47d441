package release

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMasters(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{master, "site/other"} {
		r := built(t, first, "old", "web01")
		r.Master = name
		mustPublish(t, dir, r)
	}
	got, err := Masters(dir)
	if want := []string{master, "site/other"}; err != nil || !cmp.Equal(want, got) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := Masters(filepath.Join(dir, "nowhere")); err != nil || len(got) > 0 {
		t.Errorf("without a tree: %q, %v", got, err)
	}
}
