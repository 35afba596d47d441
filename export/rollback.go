package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Rollback serves a release that was served before. "" is the newest that is
// older than the current one. Its files are read first: a damaged release is
// refused.
func Rollback(ctx context.Context, dir, master, release string, o TreeOptions) (_ *Published, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("rolling back %q in %q: %w", master, dir, err)
		}
	}()
	if err := CheckMaster(master); err != nil {
		return nil, err
	}
	t, err := openTree(ctx, dir, false, o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if err := t.clean(master); err != nil {
		return nil, err
	}
	if release, err = t.chosen(master, release); err != nil {
		return nil, err
	}
	p, err := readRelease(dir, master, release)
	if err != nil {
		return nil, err
	}
	if err := p.Verify(); err != nil {
		return nil, err
	}
	p.Served = true
	return p, t.serve(ctx, &p.Manifest)
}

// chosen returns the release that Rollback is asked for.
func (t *tree) chosen(master, release string) (string, error) {
	all, _, err := timestamps(t.path(master))
	if err != nil {
		return "", err
	}
	current, err := served(t.path(master))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, timestamp := range all {
		if timestamp == release || (release == "" && timestamp < current) {
			return timestamp, nil
		}
	}
	if release == "" {
		return "", fmt.Errorf("no release is older than the current one, %s: %w", current, fs.ErrNotExist)
	}
	return "", fmt.Errorf("there is no release %q, only %s: %w", release, some(all), fs.ErrNotExist)
}
