package identities

import (
	"context"
	"errors"
	"testing"

	"vauban/vault"
)

// An identity whose push failed is pushed before it is used, by the same run
// and by the next one.
func TestIdentitiesAreCommittedBeforeUse(t *testing.T) {
	var asked []bool
	refused := errors.New("refused")
	var answer error
	commit := func(_ context.Context, created bool) error {
		asked = append(asked, created)
		return answer
	}
	store := vault.NewLocal(t.TempDir(), "passphrase")
	run := Committed(store, commit)
	ensure := func(i *Identities, want error, calls ...bool) {
		t.Helper()
		asked = nil
		if err := i.Ensure(t.Context(), nil, []string{"web01"}); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		if len(asked) != len(calls) || len(calls) > 0 && asked[0] != calls[0] {
			t.Errorf("committed %v, want %v", asked, calls)
		}
	}
	answer = refused
	ensure(run, refused, true)
	ensure(run, refused, false) // another master of the run
	answer = nil
	next := Committed(store, commit)
	ensure(next, nil, false)
	ensure(next, nil)
}
