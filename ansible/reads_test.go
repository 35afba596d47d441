package ansible

import (
	"slices"
	"testing"

	"vauban/ansible/repository"
)

func FuzzParseReads(f *testing.F) {
	f.Add([]byte("fplay.yml\x00droles\x00f.\x00"))
	f.Add([]byte("xgit\x00"))
	f.Add([]byte("f.git/HEAD"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, variables := parseReads(data)
		variables.DropVariables([]string{"web1"})
		r.Add(variables)
		(&repository.Copy{Tree: t.TempDir()}).AddLinks(&r)
		var twice repository.Reads
		twice.Add(r)
		twice.Add(r)
		if len(twice.Files) != len(slices.Compact(slices.Sorted(slices.Values(r.Files)))) {
			t.Errorf("adding twice makes %q of %q", twice.Files, r.Files)
		}
	})
}
