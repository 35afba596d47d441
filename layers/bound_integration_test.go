//go:build integration

package layers

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBound(t *testing.T) {
	for name, test := range map[string]struct {
		size int64
		want []string
	}{
		"room for all":     {30, []string{"a.deb", "b.deb", "c.deb", "notes"}},
		"one too many":     {29, []string{"b.deb", "c.deb", "notes"}},
		"just room":        {20, []string{"b.deb", "c.deb", "notes"}},
		"room for one":     {15, []string{"c.deb", "notes"}},
		"room for none":    {5, []string{"notes"}},
		"room for no byte": {0, []string{"notes"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, file := range []string{"a.deb", "b.deb", "c.deb", "notes"} {
				path := filepath.Join(dir, file)
				if err := os.WriteFile(path, make([]byte, 10), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(path, time.Time{}, time.Unix(int64(1000*(i+1)), 0)); err != nil {
					t.Fatal(err)
				}
			}
			if err := bound(dir, test.size); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, entry := range entries {
				left = append(left, entry.Name())
			}
			if diff := cmp.Diff(test.want, left); diff != "" {
				t.Error(diff)
			}
		})
	}
	if err := bound(filepath.Join(t.TempDir(), "nowhere"), 0); err != nil {
		t.Errorf("a pool that is not there yet: %v", err)
	}
}
