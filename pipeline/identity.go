package pipeline

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
	store      vault.Store // nil: none is configured
	commit     func(ctx context.Context, created bool) error
	committing sync.Mutex // one work tree, and several masters at once
	committed  bool       // all that the store has; guarded by committing
	mu         sync.Mutex
	known      map[string]vault.Identity
	wasEmpty   *bool // whether the store was; nil: not asked yet
	// notice reports on a host's identity. Nil: not called.
	notice func(host, text string)
}

func (i *Identities) warn(host, text string) {
	if i.notice != nil {
		i.notice(host, text)
	}
}

// NewIdentities keeps identities in a store. It is nil when none is
// configured: hosts then make their SSH keys when they boot. Commit is called
// after some were created, and before the first are used that were there: those
// of a run that did not get to it. Nil: they stay where they are.
func NewIdentities(store vault.Store, commit func(ctx context.Context, created bool) error) *Identities {
	return &Identities{store: store, commit: commit, known: map[string]vault.Identity{}}
}

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

// ensure reads the identities of hosts, creating what is missing: several at
// once, as an RSA key takes a second. None is used before it is committed, by
// another master of the run either. What p, the release that is served or nil,
// gives a host of which the store has nothing is taken over.
func (i *Identities) ensure(ctx context.Context, p *release.Published, hosts []string) error {
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
	if err != nil || i.committed || i.commit == nil {
		return err
	}
	if err := i.commit(ctx, anyCreated.Load()); err != nil {
		return err
	}
	i.committed = true
	return nil
}

func (i *Identities) get(host string) (vault.Identity, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id, ok := i.known[host]
	return id, ok
}

// machineID is a host's machine-id(5): the same at every build and boot, and
// no other host's.
func (i *Identities) machineID(host string) string {
	if id, ok := i.get(host); ok {
		return id.MachineID()
	}
	return derivedMachineID(host)
}

// privateKeys are what of a host's identity must be in no image.
func (i *Identities) privateKeys(host string) (needles []scan.Needle) {
	id, ok := i.get(host)
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
	id, ok := i.get(m.OwnIdentity())
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
	id, ok := i.get(host)
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
