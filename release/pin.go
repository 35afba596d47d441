package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/internal/durable"
	"vauban/internal/text"
)

// A Pin is the record of a rollback: until it ends, by [Deploy], what is
// published of the master becomes a candidate.
type Pin struct {
	// Release is the one that was rolled back to, and is served.
	Release string `json:"release"`
	// From is the release that was served before.
	From string    `json:"from,omitempty"`
	At   time.Time `json:"at"`
}

const (
	// pinName is the file of a Pin in a master's folder. No master, host or
	// part of a name begins with a dot.
	pinName = ".pinned.json"
	// candidate marks a release that was never served and is kept.
	candidate = ".candidate"
	// maxPin bounds what is read of a Pin.
	maxPin = 64 << 10
)

// Pinned reads the rollback of a master that has not ended; nil is none.
func Pinned(dir, master string) (*Pin, error) {
	if err := CheckMaster(master); err != nil {
		return nil, err
	}
	p, err := readPin(filepath.Join(dir, master))
	if err != nil {
		return nil, fmt.Errorf("reading the rollback of %q: %w", master, err)
	}
	return p, nil
}

// readPin reads the pin below a master's folder. One of a release that is not
// served does not count: whatever moved current, or was ended before it could,
// is the last word.
func readPin(masterDir string) (*Pin, error) {
	path := filepath.Join(masterDir, pinName)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxPin:
		return nil, fmt.Errorf("%q was not written by vauban: remove it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var p Pin
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%q: %w: roll back again, or remove the file", path, err)
	}
	current, err := served(masterDir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && current != p.Release {
		return nil, nil
	}
	return &p, err
}

// pin records that master is rolled back to release, before current moves.
func (t *tree) pin(ctx context.Context, master, release string) error {
	current, err := served(t.path(master))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, err := readPin(t.path(master))
	if err != nil {
		t.log.Warn("replacing a record of a rollback", "error", err)
	}
	p := Pin{Release: release, From: current, At: time.Now().UTC().Truncate(time.Second)}
	if before != nil && before.From != release {
		p.From = before.From // it was rolled back from that one first
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := t.step(ctx, "write "+pinName); err != nil {
		return err
	}
	path := t.path(master, pinName)
	if err := durable.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return t.own(path, 0o644)
}

// unpin ends a rollback, after current has moved.
func (t *tree) unpin(ctx context.Context, master string) error {
	if err := t.step(ctx, "remove "+pinName); err != nil {
		return err
	}
	if err := os.Remove(t.path(master, pinName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return durable.Sync(t.path(master))
}

// Deploy serves a release, by default the newest candidate, or the newest
// release where there is none, and ends a rollback. Its files are read first: a
// damaged release is refused.
func Deploy(ctx context.Context, dir, master, release string, o TreeOptions) (_ *Published, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("deploying a release of %q in %q: %w", master, dir, err)
		}
	}()
	t, p, err := openRelease(ctx, dir, master, o, func(t *tree) (string, error) { return t.toDeploy(master, release) })
	if err != nil {
		return nil, err
	}
	defer t.close()
	if err := t.linkNewest(ctx, p.Kernel); err != nil {
		return nil, err
	}
	if err := t.serve(ctx, &p.Manifest); err != nil {
		return nil, err
	}
	p.Served, p.Candidate = true, false
	return p, t.unpin(ctx, master)
}

// toDeploy returns the release that Deploy is asked for.
func (t *tree) toDeploy(master, release string) (string, error) {
	all, _, err := timestamps(t.path(master))
	if err != nil {
		return "", err
	}
	if release != "" {
		if !slices.Contains(all, release) {
			return "", fmt.Errorf("there is no release %q, only %s: %w", release, text.Quoted(maxNamed, all), fs.ErrNotExist)
		}
		return release, nil
	}
	if len(all) == 0 {
		return "", fmt.Errorf("nothing was published yet: %w", fs.ErrNotExist)
	}
	current, err := served(t.path(master))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, timestamp := range all {
		if timestamp > current && t.isCandidate(master, timestamp) {
			return timestamp, nil
		}
	}
	return all[0], nil
}

// openRelease opens the tree at dir for a change, and in it the release of
// master that choose names, whose files it reads.
func openRelease(ctx context.Context, dir, master string, o TreeOptions, choose func(*tree) (string, error)) (_ *tree, _ *Published, err error) {
	if err := CheckMaster(master); err != nil {
		return nil, nil, err
	}
	t, err := openTree(ctx, dir, false, o)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if err := t.clean(master); err != nil {
		return nil, nil, err
	}
	release, err := choose(t)
	if err != nil {
		return nil, nil, err
	}
	p, err := readRelease(dir, master, release)
	if err != nil {
		return nil, nil, err
	}
	return t, p, p.Verify()
}

func (t *tree) isCandidate(master, timestamp string) bool {
	return isCandidate(t.path(master, releasesName, timestamp))
}

func isCandidate(release string) bool {
	_, err := os.Lstat(filepath.Join(release, candidate))
	return err == nil
}

// image is that of the master which r is made of, "" when only its kernel is
// built.
func (r Release) image() digest.Digest {
	if r.Rootfs != nil {
		return r.Rootfs.Image
	}
	for _, conffs := range r.Conffs {
		return conffs.Master
	}
	return ""
}

// candidates are those of a pinned master, newest first. Those that cannot be
// read are left out: nothing is taken from them.
func (t *tree) candidates(master string) []*Published {
	all, err := Releases(t.dir, master)
	if err != nil {
		t.log.Warn("some releases cannot be read; nothing is taken from them", "err", err)
	}
	return slices.DeleteFunc(all, func(p *Published) bool { return !p.Candidate })
}

// base is what r goes on from when its master is pinned: the newest candidate
// of the same image, else the release that is served. Without it a run would
// undo what the one before did for another host.
func (t *tree) base(r Release, current *Published) *Published {
	image := r.image()
	if image == "" && current != nil {
		image = current.Rootfs.Image
	}
	for _, p := range t.candidates(r.Master) {
		if p.Rootfs.Image == image {
			return p
		}
	}
	return current
}

// noticed are the hosts that the release before, or when its master is pinned
// any candidate, reported as leaving.
func (t *tree) noticed(before *Published, pinned bool) (hosts []string) {
	if before == nil {
		return nil
	}
	hosts = slices.Clone(before.Leaving)
	if pinned {
		for _, p := range t.candidates(before.Master) {
			hosts = append(hosts, p.Leaving...)
		}
	}
	return hosts
}
