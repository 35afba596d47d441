package release

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"vauban/internal/durable"
)

// serve makes a release that is in the tree the current one. The links beside
// current lead through it, so all of them move with the one rename.
func (t *tree) serve(ctx context.Context, m *Manifest) error {
	dir := t.path(m.Master)
	for name, target := range links(m) {
		if err := t.link(ctx, filepath.Join(dir, name), filepath.Join(currentName, target)); err != nil {
			return err
		}
	}
	if err := durable.Sync(dir); err != nil {
		return err
	}
	if err := t.link(ctx, filepath.Join(dir, currentName), filepath.Join(releasesName, m.Timestamp)); err != nil {
		return err
	}
	if err := durable.Sync(dir); err != nil {
		return err
	}
	return t.tidy(ctx, m)
}

// links returns what stands next to current, and the file of the release that
// each leads to.
func links(m *Manifest) map[string]string {
	all := map[string]string{articleName: rootfsName}
	for _, f := range m.files() {
		all[f.Name] = f.Name
	}
	return all
}

// tidy removes what the release that is served no longer wants: its mark, and
// links of hosts that it does not have.
func (t *tree) tidy(ctx context.Context, m *Manifest) error {
	if err := t.step(ctx, "tidy"); err != nil {
		return err
	}
	dir := t.path(m.Master)
	if err := t.unmark(m.Master, m.Timestamp); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	wanted := links(m)
	for _, e := range entries {
		if _, ok := wanted[e.Name()]; ok || !isConffsName(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if target, err := os.Readlink(path); err != nil || target != filepath.Join(currentName, e.Name()) {
			continue // not ours
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return errors.Join(durable.Sync(filepath.Join(dir, releasesName, m.Timestamp)), durable.Sync(dir))
}

// unmark notes that a release has been served.
func (t *tree) unmark(master, timestamp string) error {
	for _, mark := range []string{unserved, candidate} {
		err := os.Remove(t.path(master, releasesName, timestamp, mark))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// clean removes what publishers that died, or gave up, left of a master and in
// the pool. One that died after it had switched current left the mark of a release
// that nobody served, by which the release would be removed once another is served.
func (t *tree) clean(master string) error {
	releases := t.path(master, releasesName)
	for _, dir := range []string{t.path(poolName), t.path(master), releases} {
		if err := t.sweep(dir); err != nil {
			return err
		}
	}
	if current, err := served(t.path(master)); err == nil {
		if err := t.unmark(master, current); err != nil {
			return err
		}
	}
	_, dead, err := timestamps(t.path(master))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, timestamp := range dead {
		if err := t.removeRelease(master, timestamp); err != nil {
			return err
		}
	}
	return nil
}

// removeRelease takes a release out of the tree at once, then its files.
func (t *tree) removeRelease(master, timestamp string) error {
	path := t.path(master, releasesName, timestamp)
	temp := t.path(master, releasesName, unfinished+timestamp)
	if err := durable.Rename(path, temp); err != nil {
		return err
	}
	return os.RemoveAll(temp)
}
