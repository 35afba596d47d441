// Package identities gives hosts the SSH keys and machine-ids that a vault keeps.
package identities

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vauban/config"
	"vauban/export"
	"vauban/layers/diff"
	"vauban/release"
	"vauban/scan"
	"vauban/vault"
)

// Identities are those of hosts, made or read once in a run.
type Identities struct {
	store      vault.Store // nil: none is open
	commit     func(ctx context.Context, created bool) error
	kept       func(context.Context) ([]string, error) // of a vault that is not open
	notice     func(host, text string)
	committing sync.Mutex // one work tree, and several masters at once
	committed  bool       // all that the store has; guarded by committing
	mu         sync.Mutex
	known      map[string]vault.Identity
	wasEmpty   *bool // whether the store was; nil: not asked yet
}

// In keeps identities in a vault.
func In(store vault.Store) *Identities {
	return Committed(store, func(context.Context, bool) error { return nil })
}

// Committed is [In] for a vault that shares what is committed. Commit is called
// after identities were created, and before the first are used that were there:
// those of a run that did not get to it.
func Committed(store vault.Store, commit func(ctx context.Context, created bool) error) *Identities {
	i := None()
	i.store, i.commit = store, commit
	return i
}

// Closed is for a run without a vault: hosts make their SSH keys when they boot,
// and [Identities.Check] refuses those that have an identity. Kept names the hosts
// of a vault that is not open.
func Closed(kept func(context.Context) ([]string, error)) *Identities {
	i := None()
	i.kept = kept
	return i
}

// None builds hosts without the identities that they may have.
func None() *Identities {
	return &Identities{known: map[string]vault.Identity{}, notice: func(string, string) {}}
}

// OnNotice has fn called about a host's identity.
func (i *Identities) OnNotice(fn func(host, text string)) { i.notice = fn }

// InVault reports whether hosts get identities of a vault.
func (i *Identities) InVault() bool { return i.store != nil }

// Read takes a host's identity from the store and creates nothing.
func (i *Identities) Read(ctx context.Context, host string) error {
	if i.store == nil {
		return nil
	}
	id, err := i.store.Get(ctx, host)
	if err == nil {
		err = vault.Verify(id)
	}
	if err != nil {
		return fmt.Errorf("taking the identity of %q, which its build creates: %w", host, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known[host] = id
	return nil
}

// Ensure reads the identities of hosts, creating what is missing: several at
// once, as an RSA key takes a second. None is used before it is committed, by
// another master of the run either. What p, the release that is served or nil,
// gives a host of which the store has nothing is taken over.
func (i *Identities) Ensure(ctx context.Context, p *release.Published, hosts []string) error {
	if i.store == nil {
		return nil
	}
	i.committing.Lock()
	defer i.committing.Unlock()
	var anyCreated atomic.Bool
	made, making := errgroup.WithContext(ctx)
	made.SetLimit(runtime.NumCPU())
	for _, host := range hosts {
		made.Go(func() error {
			id, created, err := vault.EnsureFrom(making, i.store, host, i.adopt(p, host))
			if err != nil {
				return fmt.Errorf("taking the identity of %q: %w", host, err)
			}
			if created {
				anyCreated.Store(true)
			}
			i.mu.Lock()
			defer i.mu.Unlock()
			i.known[host] = id
			return nil
		})
	}
	err := made.Wait()
	if anyCreated.Load() {
		i.committed = false
	}
	if err != nil || i.committed {
		return err
	}
	if err := i.commit(ctx, anyCreated.Load()); err != nil {
		return err
	}
	i.committed = true
	return nil
}

func (i *Identities) Get(host string) (vault.Identity, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id, ok := i.known[host]
	return id, ok
}

// MachineID is a host's machine-id(5): the same at every build and boot, and
// no other host's.
func (i *Identities) MachineID(host string) string {
	if id, ok := i.Get(host); ok {
		return id.MachineID()
	}
	return derivedMachineID(host)
}

// PrivateKeys are what of a host's identity must be in no image.
func (i *Identities) PrivateKeys(host string) (needles []scan.Needle) {
	id, ok := i.Get(host)
	if !ok {
		return nil
	}
	for path, file := range id.Files() {
		if file.Mode.Perm()&0o077 == 0 {
			needles = append(needles, scan.Key("the private key "+path+" of "+host, string(file.Content()))...)
		}
	}
	return needles
}

// RootfsFiles are those of the identity that ships in a master's root
// filesystem, and in no image.
func (i *Identities) RootfsFiles(m *config.Master) []export.RootfsFile {
	id, ok := i.Get(m.OwnIdentity())
	if !ok {
		return nil
	}
	var shipped []export.RootfsFile
	files := id.Files()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		shipped = append(shipped, export.RootfsFile{Path: strings.TrimPrefix(path, "/"), Mode: files[path].Mode, Content: files[path].Content()})
	}
	return shipped
}

// ReadMaster is Read for the identity that ships in a master's root filesystem.
func (i *Identities) ReadMaster(ctx context.Context, m *config.Master) error {
	if name := m.OwnIdentity(); name != "" {
		return i.Read(ctx, name)
	}
	return nil
}

// Layer holds the host's keys, on top of its image: they are in its conffs and
// in nothing that is pushed.
func (i *Identities) Layer(host string) []diff.Open {
	id, ok := i.Get(host)
	if !ok {
		return nil
	}
	return []diff.Open{func() (io.ReadCloser, error) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		files := id.Files()
		for _, path := range slices.Sorted(maps.Keys(files)) {
			content := files[path].Content()
			header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path, "/"), Mode: int64(files[path].Mode), Size: int64(len(content)), Format: tar.FormatPAX}
			if err := w.WriteHeader(header); err != nil {
				return nil, err
			}
			if _, err := w.Write(content); err != nil {
				return nil, err
			}
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		return io.NopCloser(&b), nil
	}}
}
