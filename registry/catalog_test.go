package registry

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestImages(t *testing.T) {
	store := newStore(t)
	desc, _ := newImage(t, store)
	address := serveRegistry(t, (&recorder{}).wrap)
	for name, o := range map[string]Options{
		"embedded":  {StateDir: t.TempDir()},
		"a project": {Hostname: address + "/project"},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, o)
			if got, err := r.Images(t.Context()); err != nil || len(got) > 0 {
				t.Errorf("an empty registry has %q, %v", got, err)
			}
			var want []string
			for i := range 5 {
				want = append(want, fmt.Sprintf("web/host%03d", i))
				mustPush(t, r, want[i], desc, store, PushOptions{Tags: []string{Latest}})
			}
			got, err := r.Images(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}
