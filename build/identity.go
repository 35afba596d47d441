package build

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vauban/layers/diff"
	"vauban/vault"
)

// identities are those of hosts, made or read once in a run. The store is nil
// when none is configured: hosts then make their SSH keys when they boot.
type identities struct {
	store      vault.Store
	commit     func(context.Context) error
	committing sync.Mutex // one work tree, and several masters at once
	mu         sync.Mutex
	known      map[string]vault.Identity
}

// ensure reads the identities of hosts, creating what is missing: several at
// once, as an RSA key takes a second.
func (i *identities) ensure(ctx context.Context, hosts []string) error {
	if i.store == nil {
		return nil
	}
	var anyCreated atomic.Bool
	made, making := errgroup.WithContext(ctx)
	made.SetLimit(runtime.NumCPU())
	for _, host := range hosts {
		made.Go(func() error {
			id, created, err := vault.Ensure(making, i.store, host)
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
	if err := made.Wait(); err != nil || !anyCreated.Load() || i.commit == nil {
		return err
	}
	i.committing.Lock()
	defer i.committing.Unlock()
	return i.commit(ctx)
}

func (i *identities) get(host string) (vault.Identity, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	id, ok := i.known[host]
	return id, ok
}

// machineID is a host's machine-id(5): the same at every build and boot, and
// no other host's.
func (i *identities) machineID(host string) string {
	if id, ok := i.get(host); ok {
		return id.MachineID()
	}
	sum := sha256.Sum256([]byte("vauban machine-id\n" + host))
	return fmt.Sprintf("%x", sum[:16])
}

// layer holds the host's keys, on top of its image: they are in its conffs and
// in nothing that is pushed.
func (i *identities) layer(host string) []diff.Open {
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
