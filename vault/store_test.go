package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

// testStore is what every store must do. open makes an empty one, and returns
// what opens it again, as another process would.
func testStore(t *testing.T, open func(*testing.T) func() Store) {
	t.Run("round trip", func(t *testing.T) {
		reopen := open(t)
		ctx, id := t.Context(), testIdentity(t)
		empty, err := reopen().Get(ctx, "web-1")
		if !errors.Is(err, fs.ErrNotExist) || len(empty.Missing()) != 4 {
			t.Fatalf("Get of a new host: %v, missing %q", err, empty.Missing())
		}
		for _, host := range []string{"web-1", "Site_1/rack.2/db"} {
			if err := reopen().Put(ctx, host, id); err != nil {
				t.Fatal(err)
			}
			got, err := reopen().Get(ctx, host)
			if err != nil || !got.Equal(id) {
				t.Errorf("%s: not what was put: %v", host, err)
			}
		}
		if got, err := reopen().List(ctx); err != nil || !cmp.Equal(got, []string{"Site_1/rack.2/db", "web-1"}) {
			t.Errorf("List() = %q, %v", got, err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		if got, err := open(t)().List(t.Context()); err != nil || len(got) > 0 {
			t.Errorf("List() = %q, %v", got, err)
		}
	})
	t.Run("conflict", func(t *testing.T) { testConflict(t, open(t)()) })
	t.Run("ensure", func(t *testing.T) { testEnsure(t, open(t)()) })
	t.Run("at the same time", func(t *testing.T) { testConcurrent(t, open(t)) })
	t.Run("rotate", func(t *testing.T) { testRotate(t, open(t)()) })
	t.Run("check", func(t *testing.T) { testCheck(t, open(t)()) })
}

// testConflict puts what was made out of something that is no longer there.
func testConflict(t *testing.T, store Store) {
	ctx := t.Context()
	if err := store.Put(ctx, "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(ctx, "web-1", anotherIdentity(t)); !errors.Is(err, ErrConflict) {
		t.Errorf("creating it twice: %v", err)
	}
	read, err := store.Get(ctx, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(ctx, store, "web-1"); err != nil {
		t.Fatal(err)
	}
	stale, err := read.withoutKeys().complete(ctx, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(ctx, "web-1", stale); !errors.Is(err, ErrConflict) {
		t.Errorf("changing what was rotated: %v", err)
	}
}

func testEnsure(t *testing.T, store Store) {
	ctx := t.Context()
	first, created, err := Ensure(ctx, store, "web-1")
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	again, created, err := Ensure(ctx, store, "web-1")
	if err != nil || created || !again.Equal(first) {
		t.Errorf("the second time: created %v, same %v, %v", created, again.Equal(first), err)
	}
	// What an older version stored has no machine-id.
	p := anotherIdentity(t).parts()
	delete(p, machineIDPart)
	old, err := newIdentity(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(ctx, "old", old); err != nil {
		t.Fatal(err)
	}
	whole, created, err := Ensure(ctx, store, "old")
	if err != nil || !created || whole.MachineID() == "" || !cmp.Equal(whole.Keys(), old.Keys()) {
		t.Errorf("created %v, machine-id %q, same keys %v, %v", created, whole.MachineID(), cmp.Equal(whole.Keys(), old.Keys()), err)
	}
}

func testConcurrent(t *testing.T, reopen func() Store) {
	const runs = 4
	var (
		all     sync.WaitGroup
		ids     [runs]Identity
		created [runs]bool
	)
	for i := range runs {
		all.Go(func() {
			var err error
			if ids[i], created[i], err = Ensure(t.Context(), reopen(), "web-1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	anyCreated := false
	for i := range runs {
		anyCreated = anyCreated || created[i]
		if !ids[i].Equal(ids[0]) {
			t.Errorf("run %d got another identity", i)
		}
	}
	if !anyCreated {
		t.Error("nobody created it")
	}
}

func testRotate(t *testing.T, store Store) {
	ctx := t.Context()
	if _, err := Rotate(ctx, store, "web-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rotating what is not there: %v", err)
	}
	before := testIdentity(t)
	if err := store.Put(ctx, "web-1", before); err != nil {
		t.Fatal(err)
	}
	after, err := Rotate(ctx, store, "web-1")
	if err != nil {
		t.Fatal(err)
	}
	if after.MachineID() != before.MachineID() {
		t.Error("the machine-id changed")
	}
	for i, key := range after.Keys() {
		if key.Fingerprint == before.Keys()[i].Fingerprint {
			t.Errorf("the %s key did not change", key.Type)
		}
	}
}

func testCheck(t *testing.T, store Store) {
	ctx := t.Context()
	if err := store.Put(ctx, "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	if err := Check(ctx, store); err != nil {
		t.Errorf("one good identity: %v", err)
	}
	if err := store.Put(ctx, "db", anotherIdentity(t)); err != nil {
		t.Fatal(err)
	}
	err := Check(ctx, store)
	if err == nil || !strings.Contains(err.Error(), `"db" and "web-1" have the same rsa host key`) || strings.Contains(err.Error(), "ed25519") {
		t.Errorf("two that share a key: %v", err)
	}
}

// TestEnsureGivesUp: a store that always says that somebody else was quicker.
func TestEnsureGivesUp(t *testing.T) {
	_, _, err := Ensure(t.Context(), stubborn{testIdentity(t)}, "web-1")
	if !errors.Is(err, ErrConflict) {
		t.Errorf("error %v", err)
	}
}

// stubborn has an identity without a machine-id, and keeps no other.
type stubborn struct{ id Identity }

func (s stubborn) Get(context.Context, string) (Identity, error) {
	c := s.id.get()
	c.machineID = ""
	return Identity{content: &c}, nil
}
func (stubborn) Put(context.Context, string, Identity) error { return ErrConflict }
func (stubborn) List(context.Context) ([]string, error)      { return nil, nil }

// brokenSigner signs something else than it is given.
type brokenSigner struct{ ssh.Signer }

func (b brokenSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	return b.Signer.Sign(rand.Reader, append(data, 'x'))
}
