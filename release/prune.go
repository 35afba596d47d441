package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// PruneOptions say what [Prune] removes.
type PruneOptions struct {
	// Masters whose releases are pruned. One without any is none the less.
	Masters []string
	// Keep is how many of the newest releases of each stay.
	Keep int
	// DryRun removes nothing.
	DryRun bool
}

// Pruned are what Prune removed.
type Pruned struct {
	Releases []string // MASTER/TIMESTAMP, of each master newest first
	Pool     []string // file names
}

// Prune removes the releases of masters except the newest ones, the newest
// candidates and the one served. Then it removes the kernels and initramfs that no release of any
// master uses any more. A machine that is booting one of the removed releases
// fails: keep those that boot entries may name.
func Prune(ctx context.Context, dir string, p PruneOptions, o TreeOptions) (pruned Pruned, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("pruning %q: %w", dir, err)
		}
	}()
	for _, master := range p.Masters {
		if err := CheckMaster(master); err != nil {
			return pruned, err
		}
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return pruned, nil // nothing was published
	}
	t, err := openTree(ctx, dir, false, o)
	if err != nil {
		return pruned, err
	}
	defer t.close()
	t.dry = p.DryRun
	gone := map[string]bool{}
	for _, master := range p.Masters {
		removed, err := t.pruneMaster(ctx, master, p.Keep)
		for _, timestamp := range removed {
			pruned.Releases = append(pruned.Releases, master+"/"+timestamp)
			gone[t.path(master, releasesName, timestamp)] = true
		}
		if err != nil {
			return pruned, err
		}
	}
	pruned.Pool, err = t.prunePool(ctx, gone)
	return pruned, err
}

func (t *tree) pruneMaster(ctx context.Context, master string, keep int) ([]string, error) {
	if _, err := os.Lstat(t.path(master, releasesName)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if !t.dry {
		if err := t.clean(master); err != nil {
			return nil, err
		}
	}
	return t.pruneReleases(ctx, master, keep)
}

func (t *tree) pruneReleases(ctx context.Context, master string, keep int) (removed []string, err error) {
	all, _, err := timestamps(t.path(master))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, nil
	}
	current, err := served(t.path(master))
	if err != nil {
		return nil, err // without knowing what is served, nothing is old
	}
	for _, timestamp := range t.old(master, current, all, keep) {
		if timestamp == current {
			continue
		}
		if err := t.step(ctx, "remove release"); err != nil {
			return removed, err
		}
		if !t.dry {
			if err := t.removeRelease(master, timestamp); err != nil {
				return removed, err
			}
		}
		removed = append(removed, timestamp)
	}
	return removed, nil
}

// old are the releases that are not among the newest of those that were served,
// nor of the candidates, whose number does not push out what can be rolled back
// to. The newest candidate always stays, until a later release is served.
func (t *tree) old(master, current string, all []string, keep int) (old []string) {
	seen := map[bool]int{}
	for _, timestamp := range all {
		isCandidate := timestamp > current && t.isCandidate(master, timestamp)
		seen[isCandidate]++
		if isCandidate && seen[true] == 1 {
			continue
		}
		if seen[isCandidate] > max(keep, 0) {
			old = append(old, timestamp)
		}
	}
	return old
}

// prunePool removes the files of the pool that no release links to but those
// that are gone, or would be.
func (t *tree) prunePool(ctx context.Context, gone map[string]bool) (removed []string, err error) {
	used, err := t.poolUse(gone)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(t.path(poolName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 && !t.dry {
			if err := t.relinkNewest(ctx, e.Name(), entries, used); err != nil {
				return nil, err
			}
		}
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !pooledForm.MatchString(e.Name()) || used[e.Name()] {
			continue
		}
		if err := t.step(ctx, "remove from the pool"); err != nil {
			return removed, err
		}
		if !t.dry {
			if err := os.Remove(t.path(poolName, e.Name())); err != nil {
				return removed, err
			}
		}
		removed = append(removed, e.Name())
	}
	return removed, nil
}

// relinkNewest makes a link of the pool, NAME.VERSION, lead to the newest file
// of that version that is used, and removes it when there is none.
func (t *tree) relinkNewest(ctx context.Context, link string, entries []fs.DirEntry, used map[string]bool) error {
	path := t.path(poolName, link)
	target, err := os.Readlink(path)
	if err != nil || used[target] || !pooledForm.MatchString(target) {
		return err
	}
	var newest fs.FileInfo
	for _, e := range entries {
		if !used[e.Name()] || !pooledForm.MatchString(e.Name()) || e.Name()[:len(e.Name())-len("-")-12] != link {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if newest == nil || info.ModTime().After(newest.ModTime()) {
			newest = info
		}
	}
	if newest == nil {
		if err := t.step(ctx, "remove link"); err != nil {
			return err
		}
		return os.Remove(path)
	}
	return t.link(ctx, path, newest.Name())
}

// poolUse returns the names in the pool that the releases of all masters link
// to, but for those that are gone. The links are what clients follow, so they are asked and not the
// manifests.
func (t *tree) poolUse(gone map[string]bool) (map[string]bool, error) {
	used := map[string]bool{}
	err := eachMaster(t.dir, func(master string) error {
		return addPoolUse(used, t.path(master, releasesName), gone)
	})
	return used, err
}

// addPoolUse adds the names that the releases in a directory link to.
func addPoolUse(used map[string]bool, releases string, gone map[string]bool) error {
	entries, err := os.ReadDir(releases)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if gone[filepath.Join(releases, e.Name())] {
			continue
		}
		for _, name := range []string{vmlinuzName, initramfsName} {
			target, err := os.Readlink(filepath.Join(releases, e.Name(), name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			used[filepath.Base(target)] = true // "." when there is none
		}
	}
	return nil
}
