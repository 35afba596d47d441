package freshness

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"

	"vauban/ansible"
	"vauban/internal/durable"
)

const (
	inventoryMediaType = "application/vnd.vauban.inventory.v1+gzip"
	// inventoryImage is the name that expanded inventories are kept under, each
	// by a tag of its own.
	inventoryImage = "vauban/inventories"
	// maxInventories bounds how many have a copy here.
	maxInventories = 100
)

// inventories keeps what ansible found of inventories: in the registry, for
// machines that have not seen the commit, and here.
type inventories struct {
	records *Records
	push    bool
}

var _ ansible.Kept = inventories{}

func (i inventories) dir() string { return filepath.Join(i.records.dir, "inventories@") }

// Get implements [ansible.Kept].
func (i inventories) Get(ctx context.Context, name string) ([]byte, error) {
	path := filepath.Join(i.dir(), name)
	if data, err := os.ReadFile(path); err == nil {
		return data, nil
	}
	packed, err := i.records.registry.FetchArtifact(ctx, inventoryImage, name, inventoryMediaType)
	if errdefs.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	data, err := unpack(packed)
	if err != nil {
		i.records.log.Warn("what is kept of an inventory is of no use", "error", err)
		return nil, nil
	}
	return data, i.write(path, data)
}

// Put implements [ansible.Kept].
func (i inventories) Put(ctx context.Context, name string, data []byte) error {
	if err := i.write(filepath.Join(i.dir(), name), data); err != nil || !i.push {
		return err
	}
	packed, err := pack(data)
	if err != nil {
		return err
	}
	_, err = i.records.registry.PushArtifact(ctx, inventoryImage, name, inventoryMediaType, packed)
	return err
}

func (i inventories) write(path string, data []byte) error {
	if err := os.MkdirAll(i.dir(), 0o700); err != nil {
		return fmt.Errorf("keeping what was found of an inventory: %w", err)
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("keeping what was found of an inventory: %w", err)
	}
	return i.tidy()
}

// tidy removes the oldest copies.
func (i inventories) tidy() error {
	entries, err := os.ReadDir(i.dir())
	if err != nil || len(entries) <= maxInventories {
		return err
	}
	dates := map[string]int64{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			dates[e.Name()] = info.ModTime().UnixNano()
		}
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return int(min(1, max(-1, dates[a.Name()]-dates[b.Name()]))) })
	for _, e := range entries[:len(entries)-maxInventories] {
		if err := os.Remove(filepath.Join(i.dir(), e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func pack(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

// unpack refuses what would be larger than any record.
func unpack(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(z, maxRecord+1))
	if err == nil && len(data) > maxRecord {
		err = fmt.Errorf("it unpacks to more than %d bytes", maxRecord)
	}
	return data, err
}
