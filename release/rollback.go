package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"vauban/internal/text"
)

// Rollback serves a release that was served before, and pins it: see [Pin]. ""
// is the newest that is older than the current one. Its files are read first: a
// damaged release is refused.
func Rollback(ctx context.Context, dir, master, release string, o TreeOptions) (_ *Published, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("rolling back %q in %q: %w", master, dir, err)
		}
	}()
	t, p, err := openRelease(ctx, dir, master, o, func(t *tree) (string, error) { return t.chosen(master, release) })
	if err != nil {
		return nil, err
	}
	defer t.close()
	if err := t.pin(ctx, master, p.Timestamp); err != nil {
		return nil, err
	}
	p.Served, p.Candidate = true, false
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
		if timestamp == release || (release == "" && timestamp < current && !t.isCandidate(master, timestamp)) {
			return timestamp, nil
		}
	}
	if release == "" {
		return "", fmt.Errorf("no release is older than the current one, %s: %w", current, fs.ErrNotExist)
	}
	return "", fmt.Errorf("there is no release %q, only %s: %w", release, text.Quoted(maxNamed, all), fs.ErrNotExist)
}
