package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// A Store keeps identities by the host's name: letters, digits, ".", "_", "-"
// and "/" between them.
type Store interface {
	// Get reads the identity of a host, as far as the store has it (see
	// [Identity.Missing]). The error is of kind [fs.ErrNotExist] when it has
	// nothing; the empty identity returned with it can be completed and put.
	Get(ctx context.Context, host string) (Identity, error)
	// Put keeps what was made out of an identity that Get returned. The error
	// is of kind [ErrConflict] when the store's changed since.
	Put(ctx context.Context, host string, id Identity) error
	// List returns the hosts that the store has something of, sorted.
	List(ctx context.Context) ([]string, error)
}

// ErrConflict is the kind of error that says that somebody else changed an
// identity at the same time. The other one stands.
var ErrConflict = errors.New("changed by another run at the same time")

// maxConflicts is how often Ensure begins again. Whoever is in its way creates
// the same host's identity, so the second round usually finds it complete.
const maxConflicts = 10

// Ensure returns the complete identity of a host as the store has it, after
// creating what was missing; created says whether anything was. Runs that do
// this for one host at the same time, here or elsewhere, get the same identity.
func Ensure(ctx context.Context, store Store, host string) (id Identity, created bool, err error) {
	return EnsureFrom(ctx, store, host, nil)
}

// EnsureFrom is Ensure for a host that may have an identity already which the
// store lacks: deployed gives it, as far as it is known, and is called when the
// store has nothing of the host. Nil: not called.
func EnsureFrom(ctx context.Context, store Store, host string, deployed func(context.Context) (Identity, error)) (id Identity, created bool, err error) {
	for range maxConflicts {
		id, err = store.Get(ctx, host)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Identity{}, false, err
		}
		if len(id.Missing()) == 0 {
			return id, created, Verify(id)
		}
		if err != nil && deployed != nil {
			known, err := deployed(ctx)
			if err != nil {
				return Identity{}, false, err
			}
			id = id.with(known)
		}
		if id, err = id.complete(ctx, host); err != nil {
			return Identity{}, false, err
		}
		err = store.Put(ctx, host, id)
		if err == nil {
			created = true
			continue // read it back: only what the store returns is kept
		}
		if !errors.Is(err, ErrConflict) {
			return Identity{}, false, err
		}
	}
	return Identity{}, false, fmt.Errorf("creating the identity of %q: %w", host, err)
}

// Rotate gives a host new SSH keys and returns its identity. The machine-id is
// no secret that opens anything, and stays. The error is of kind
// [fs.ErrNotExist] when the store does not have the host.
func Rotate(ctx context.Context, store Store, host string) (Identity, error) {
	id, err := store.Get(ctx, host)
	if err != nil {
		return Identity{}, fmt.Errorf("rotating the SSH keys of %q: %w", host, err)
	}
	id, err = id.withoutKeys().complete(ctx, host)
	if err == nil {
		err = store.Put(ctx, host, id)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("rotating the SSH keys of %q: %w", host, err)
	}
	return store.Get(ctx, host)
}

// Check reads all identities of a store and returns all that is wrong with
// them: those that cannot be read, those that [Verify] refuses, and what two
// hosts share.
func Check(ctx context.Context, store Store) error {
	hosts, err := store.List(ctx)
	if err != nil {
		return err
	}
	var wrong []error
	owner := map[string]string{}
	for _, host := range hosts {
		if err := ctx.Err(); err != nil {
			return err
		}
		id, err := store.Get(ctx, host)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if err := Verify(id); err != nil {
			wrong = append(wrong, fmt.Errorf("host %q: %w", host, err))
		}
		for what, value := range id.unique() {
			if other, shared := owner[value]; shared {
				wrong = append(wrong, fmt.Errorf("hosts %q and %q have the same %s: "+
					"remove the identity of the one that must change, and build it again", other, host, what))
			}
			owner[value] = host
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)

// maxHostName is what fits into a file's name with our suffix.
const maxHostName = 240

// checkHost refuses what could not be a file's name or an element of a URL.
func checkHost(host string) error {
	if len(host) > maxHostName || !hostName.MatchString(host) {
		return fmt.Errorf("%q cannot have an identity: a host's name is made of letters, digits, "+
			`".", "_", "-" and "/" between them, and has at most %d characters`, host, maxHostName)
	}
	return nil
}
