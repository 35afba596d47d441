package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vauban/internal/durable"
	"vauban/internal/text"

	"github.com/opencontainers/go-digest"
)

// ErrOvertaken is the kind of error of a release whose rootfs is older than the
// one that another run has published meanwhile: what is served never goes back,
// except by Rollback.
var ErrOvertaken = errors.New("a run that began later has published another rootfs meanwhile")

// ErrLeaving is the kind of error of a release that was not made as hosts of
// the one before have left the master and their conffs do not fit the new
// rootfs. That is noted in the tree: the next run leaves them out.
var ErrLeaving = errors.New("hosts have left the master")

// Publish makes a release of what r has, and of what the release served has
// where r has none, and serves it. A set that is served already is left as it
// is. When the master is pinned the release becomes a candidate, and nothing
// that is served changes. When Publish fails, or dies at any moment, the
// release before is served and whole. Several publishers of one tree wait for
// each other.
func Publish(ctx context.Context, dir string, r Release, o TreeOptions) (_ *Published, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("publishing %q in %q: %w", r.Master, dir, err)
		}
	}()
	if err := r.check(); err != nil {
		return nil, err
	}
	t, err := openTree(ctx, dir, true, o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if err := t.clean(r.Master); err != nil {
		return nil, err
	}
	return t.release(ctx, r)
}

// release makes the release that r asks for.
func (t *tree) release(ctx context.Context, r Release) (*Published, error) {
	pin, err := readPin(t.path(r.Master))
	if err != nil {
		return nil, err
	}
	before, err := t.before(r)
	if err != nil {
		return nil, err
	}
	if pin != nil {
		before = t.base(r, before)
	}
	if r.overtaken(before) {
		return nil, fmt.Errorf("release %s is served: %w", before.Timestamp, ErrOvertaken)
	}
	r, left := r.withoutOlder(before)
	if len(left) > 0 {
		t.log.Warn("a run that began later has published newer ones meanwhile, which stay", "master", r.Master, "left out", strings.Join(left, ", "))
	}
	d, err := newDraft(r, before, t.noticed(before, pin != nil))
	if err != nil {
		return nil, err
	}
	if unfit := d.unfit(); len(unfit) > 0 {
		if _, err := t.bring(ctx, repeated(r, before, d.Leaving), before, pin != nil); err != nil {
			return nil, err
		}
		return nil, leavingError(r, unfit)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	return t.bring(ctx, d, before, pin != nil)
}

// leavingError says what to do about hosts that keep a release from being made.
func leavingError(r Release, hosts []string) error {
	again := "run this again or with --remove-hosts"
	if r.Some {
		again = "run this for all hosts, or with --remove-hosts"
	}
	return fmt.Errorf("%w: %s. The release before has their conffs, which do not fit the new rootfs: "+
		"if they are gone, %s; if not, correct the inventory or `conffs:`", ErrLeaving, text.Quoted(maxNamed, hosts), again)
}

// bring publishes a draft where it differs from the release before.
func (t *tree) bring(ctx context.Context, d *draft, before *Published, pinned bool) (*Published, error) {
	if before != nil && before.same(&d.Manifest) && before.Verify() == nil {
		before.Unchanged = true
		if before.Candidate {
			return before, nil
		}
		return before, t.serve(ctx, &before.Manifest)
	}
	if pinned {
		newest, _, err := timestamps(t.path(d.Master))
		if err != nil {
			return nil, err
		}
		d.Timestamp = max(d.Timestamp, newest[0]) // candidates are in order too
	}
	return t.publish(ctx, d, before, pinned)
}

// before returns the release that is served, nil when there is none.
func (t *tree) before(r Release) (*Published, error) {
	p, err := Current(t.dir, r.Master)
	switch {
	case err == nil:
		return p, nil
	case errors.Is(err, fs.ErrNotExist) && !t.serves(r.Master):
		return nil, nil
	case r.whole():
		t.log.Warn("the release that is served cannot be read; nothing is taken from it", "err", err)
		return nil, nil
	}
	return nil, fmt.Errorf("%w; publish the rootfs, the initramfs and all conffs together", err)
}

// serves reports whether a release of master is named current, whole or not.
func (t *tree) serves(master string) bool {
	_, err := os.Lstat(t.path(master, currentName))
	return err == nil
}

// publish brings a draft into the tree.
func (t *tree) publish(ctx context.Context, d *draft, before *Published, pinned bool) (p *Published, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.clean(d.Master))
		}
	}()
	for _, dir := range []string{t.path(poolName), t.path(d.Master, releasesName)} {
		if err := t.mkdir(dir); err != nil {
			return nil, err
		}
	}
	if before != nil {
		d.Timestamp = max(d.Timestamp, before.Timestamp) // it comes after that one
	}
	if d.Timestamp, err = t.freeSecond(d.Master, d.Timestamp); err != nil {
		return nil, err
	}
	p = &Published{Manifest: d.Manifest, Served: !pinned, Candidate: pinned, Removed: d.removed, Dir: t.path(d.Master, releasesName, d.Timestamp)}
	stage := t.path(d.Master, releasesName, unfinished+d.Timestamp)
	if err := t.mkdir(stage); err != nil {
		return nil, err
	}
	if p.Linked, err = t.fill(ctx, stage, d, before); err != nil {
		return nil, err
	}
	mark := unserved
	if pinned {
		mark = candidate
	}
	if p.Sums, err = t.seal(ctx, stage, mark, &d.Manifest); err != nil {
		return nil, err
	}
	if err := t.step(ctx, "rename release"); err != nil {
		return nil, err
	}
	if err := durable.Rename(stage, p.Dir); err != nil {
		return nil, err
	}
	if pinned {
		return p, nil
	}
	if d.sources[vmlinuzName] != "" {
		if err := t.linkNewest(ctx, d.Kernel); err != nil {
			return nil, err
		}
	}
	return p, t.serve(ctx, &d.Manifest)
}

// freeSecond returns the first timestamp from the given one on that names no
// release.
func (t *tree) freeSecond(master, timestamp string) (string, error) {
	at, err := time.Parse(TimestampFormat, timestamp)
	if err != nil {
		return "", err
	}
	for {
		timestamp = at.Format(TimestampFormat)
		_, err := os.Lstat(t.path(master, releasesName, timestamp))
		if errors.Is(err, fs.ErrNotExist) {
			return timestamp, nil
		}
		if err != nil {
			return "", err
		}
		at = at.Add(time.Second)
	}
}

// fill puts the files of a draft into the stage and returns the names of those
// that it shares with the release before.
func (t *tree) fill(ctx context.Context, stage string, d *draft, before *Published) (linked []string, err error) {
	for _, f := range d.files() {
		switch f.Name {
		case vmlinuzName, initramfsName:
			err = t.placePooled(ctx, stage, d, f)
		default:
			var shared bool
			if shared, err = t.place(ctx, filepath.Join(stage, f.Name), d.sources[f.Name], f, before); shared {
				linked = append(linked, f.Name)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return linked, nil
}

// placePooled puts a file into the pool and a link to it into the stage.
func (t *tree) placePooled(ctx context.Context, stage string, d *draft, f File) error {
	name, err := t.pool(ctx, d.Kernel.Version, d.sources[f.Name], f)
	if err != nil {
		return err
	}
	target, err := filepath.Rel(stage, t.path(poolName, name))
	if err != nil {
		return err
	}
	link := filepath.Join(stage, f.Name)
	if err := t.link(ctx, link, target); err != nil {
		return err
	}
	if err := verify(link, f); err != nil {
		return fmt.Errorf("%w: a folder of the tree that is a link leads out of it: mount it there instead, or make the whole tree the link", err)
	}
	return nil
}

// place makes path the file that f describes: one more name of the file that
// the release before has, when that is the same and still sound, else a copy
// of source.
func (t *tree) place(ctx context.Context, path, source string, f File, before *Published) (shared bool, err error) {
	if err := t.step(ctx, "place "+f.Name); err != nil {
		return false, err
	}
	if before != nil && slices.Contains(before.files(), f) {
		// Not all filesystems have hard links, and not without end.
		if err := os.Link(filepath.Join(before.Dir, f.Name), path); err == nil {
			if verify(path, f) == nil {
				return true, nil
			}
			if err := os.Remove(path); err != nil {
				return false, err
			}
		}
	}
	err = t.copy(path, source, f)
	if errors.Is(err, ErrDamaged) && before != nil && filepath.Dir(source) == before.Dir {
		return false, fmt.Errorf("%w: build it again: %s", err, rebuild(before.Master, f.Name))
	}
	return false, err
}

// rebuild is the command that makes a file of a release again.
func rebuild(master, name string) string {
	host, isConffs := strings.CutPrefix(strings.TrimSuffix(name, conffsSuffix), conffsPrefix)
	if !isConffs {
		return fmt.Sprintf("vauban build %s --stage rootfs", master)
	}
	return fmt.Sprintf("vauban build %s --stage conffs --limit %s", master, host)
}

// seal writes what describes the release into the stage, and the mark of what it
// is before it is served. It returns the digest of SHA256SUMS.
func (t *tree) seal(ctx context.Context, stage, mark string, m *Manifest) (digest.Digest, error) {
	text, err := m.encode()
	if err != nil {
		return "", err
	}
	sums := encodeSums(m.summed(text))
	for _, f := range []struct {
		name    string
		content []byte
	}{{mark, nil}, {manifestName, text}, {sumsName, sums}} {
		if err := t.step(ctx, "write "+f.name); err != nil {
			return "", err
		}
		if err := t.write(filepath.Join(stage, f.name), bytes.NewReader(f.content)); err != nil {
			return "", err
		}
	}
	return digest.FromBytes(sums), nil
}
