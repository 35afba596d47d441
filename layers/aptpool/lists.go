package aptpool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
)

// Taken are the lists that a container has.
type Taken struct {
	Sources   Sources
	Container string
	// Changed is the folder of those that it fetched, Given of the view's.
	Changed, Given string
	// Since is when the container started: nothing in it is known to be newer.
	Since time.Time
}

// KeepLists puts the lists that a container fetched in the place of the pool's
// when trusted keys signed them and they are not older.
func (p *Pool) KeepLists(ctx context.Context, t Taken) error {
	taker, err := p.newTaker(ctx, t)
	if err != nil {
		return err
	}
	defer taker.close()
	if !slices.ContainsFunc(taker.changed, isRelease) {
		return nil
	}
	pool := p.sources(t.Sources.key)
	next := pool + "." + t.Container
	defer os.RemoveAll(next)
	taker.to = filepath.Join(next, "lists")
	if err := os.MkdirAll(taker.to, 0o755); err != nil {
		return err
	}
	for _, name := range taker.names {
		if !isRelease(name) {
			continue
		}
		if err := taker.take(name); errors.Is(err, errOlder) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if len(taker.until) == 0 {
		return nil // nothing is signed
	}
	if err := taker.finish(next, t.Since); err != nil {
		return err
	}
	return exchange(next, pool)
}

// exchange puts a folder in the place of another.
func exchange(next, pool string) error {
	err := unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, pool, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(next, pool)
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil // another run was faster
	}
	return err
}

func isRelease(name string) bool {
	return strings.HasSuffix(name, "_InRelease") || strings.HasSuffix(name, "_Release")
}

var errOlder = errors.New("the pool has newer lists")

// taker copies the lists of one container.
type taker struct {
	pool    *Pool
	ctx     context.Context
	taken   Taken
	roots   []*beneath.Root // what changed, before what was given
	changed []string
	names   []string // sorted
	to      string

	records    [][]byte
	until      []time.Time
	verified   map[string]bool
	incomplete bool
}

func (p *Pool) newTaker(ctx context.Context, t Taken) (*taker, error) {
	k := &taker{pool: p, ctx: ctx, taken: t, verified: map[string]bool{}}
	for _, dir := range []string{t.Changed, t.Given} {
		root, err := beneath.OpenRoot(dir)
		if err != nil {
			k.close()
			return nil, err
		}
		k.roots = append(k.roots, root)
		names, err := root.ReadDir(".", maxFiles)
		if err != nil {
			k.close()
			return nil, err
		}
		if dir == t.Changed {
			k.changed = names
		}
		k.names = append(k.names, names...)
	}
	slices.Sort(k.names)
	k.names = slices.Compact(k.names)
	return k, nil
}

func (k *taker) close() {
	for _, root := range k.roots {
		root.Close()
	}
}

// open opens what the container has under a name. Where it deleted that, this
// is what it was given, which is as good.
func (k *taker) open(name string) (f *os.File, err error) {
	for _, root := range k.roots {
		if f, err = root.Open(name); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, beneath.ErrRefused) {
			return f, err
		}
	}
	return nil, err
}

func (k *taker) read(name string) ([]byte, error) {
	f, err := k.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(beneath.Reader(k.ctx, io.LimitReader(f, maxRelease+1)))
	if err == nil && len(text) > maxRelease {
		err = fmt.Errorf("it has more than %d bytes", maxRelease)
	}
	return text, err
}

// take copies one release and the lists that it names.
func (k *taker) take(name string) error {
	text, err := k.read(name)
	if err != nil {
		k.skip(name, err)
		return k.ctx.Err()
	}
	now := time.Now()
	r, signature, err := k.pool.verified(name, text, k.read, now)
	if err == nil {
		err = r.check(name, now, k.taken.Sources.everValid)
	}
	if err != nil {
		k.skip(name, err)
		return nil
	}
	if k.pool.hasNewer(k.taken.Sources, name, r) {
		return errOlder
	}
	k.until = append(k.until, r.until)
	if len(signature) > 0 {
		err = os.WriteFile(filepath.Join(k.to, name+".gpg"), signature, 0o644)
	}
	if err := errors.Join(err, os.WriteFile(filepath.Join(k.to, name), text, 0o644)); err != nil {
		return err
	}
	return k.takeLists(name, r)
}

// skip leaves lists to the containers: each fetches its own.
func (k *taker) skip(name string, err error) {
	k.incomplete = true
	k.pool.log.Debug("package lists are not kept for other containers", "lists", name, "error", err)
}

// verified reads a release, and its signature where that is another file.
func (p *Pool) verified(name string, text []byte, read func(string) ([]byte, error), now time.Time) (*release, []byte, error) {
	if strings.HasSuffix(name, "_InRelease") {
		r, err := readInRelease(text, p.keys, now)
		return r, nil, err
	}
	signature, err := read(name + ".gpg")
	if err != nil {
		return nil, nil, errUnsigned
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	if _, err := openpgp.CheckArmoredDetachedSignature(p.keys, bytes.NewReader(text), bytes.NewReader(signature), config); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errUnsigned, err)
	}
	r, err := parseRelease(text)
	return r, signature, err
}

// hasNewer reports whether the pool's own release of the name is newer: signed
// lists of last year are signed for ever.
func (p *Pool) hasNewer(s Sources, name string, r *release) bool {
	dir := filepath.Join(p.sources(s.key), "lists")
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return false
	}
	pooled, _, err := p.verified(name, text, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }, time.Now())
	return err == nil && pooled.date.After(r.date)
}

// takeLists copies the lists whose digests a release names.
func (k *taker) takeLists(name string, r *release) error {
	prefix := strings.TrimSuffix(strings.TrimSuffix(name, "Release"), "In")
	for _, list := range k.names {
		if !strings.HasPrefix(list, prefix) || isRelease(list) || strings.HasSuffix(list, ".gpg") {
			continue
		}
		records, err := k.takeList(list, strings.TrimPrefix(list, prefix), r)
		if errors.Is(err, errNotNamed) {
			continue // perhaps another release's
		} else if err != nil && k.ctx.Err() != nil {
			return err
		} else if err != nil {
			k.pool.log.Debug("a package list is not kept for other containers", "list", list, "error", err)
			continue
		}
		plain, _ := compression(list)
		k.verified[plain] = true
		k.records = append(k.records, records...)
	}
	return nil
}

// takeList copies one list, unpacked, while it verifies it, and gives the
// packages in it. Unpacked, because programs differ in what they make of bytes
// that follow a compressed stream.
func (k *taker) takeList(list, name string, r *release) (records [][]byte, err error) {
	name, unpack := compression(name)
	path := unescape(name)
	content, isNamed := r.indexes[path]
	if !isNamed {
		return nil, errNotNamed
	}
	from, err := k.open(list)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	err = replace(k.to, func(to *os.File) (string, error) {
		unpacked, err := unpack(beneath.Reader(k.ctx, io.LimitReader(from, content.size+maxOverhead)))
		if err != nil {
			return "", err
		}
		hash := sha256.New()
		text := io.TeeReader(io.LimitReader(unpacked, content.size+1), io.MultiWriter(hash, to))
		if strings.HasSuffix("/"+path, "/Packages") {
			if err := parsePackages(text, func(d deb) { records = append(records, d.record()) }); err != nil {
				return "", err
			}
		}
		if _, err := io.Copy(io.Discard, text); err != nil {
			return "", err
		}
		if [32]byte(hash.Sum(nil)) != content.sha {
			return "", errors.New("it is not what the signed release names")
		}
		plain, _ := compression(list)
		return plain, nil
	})
	return records, err
}

// finish writes what is known of the lists. They are as old as the container.
func (k *taker) finish(dir string, since time.Time) error {
	for _, name := range k.names {
		plain, _ := compression(name)
		k.incomplete = k.incomplete || strings.HasSuffix(plain, "_Packages") && !k.verified[plain]
	}
	until := ""
	if soonest := k.soonest(); !soonest.IsZero() {
		until = soonest.Format(time.RFC3339)
	}
	err := errors.Join(os.WriteFile(filepath.Join(dir, "named"), makeNamed(k.records), 0o644),
		os.WriteFile(filepath.Join(dir, "until"), []byte(until), 0o644))
	if !k.incomplete {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644))
	}
	if now := time.Now(); since.After(now) {
		since = now
	}
	return errors.Join(err, os.Chtimes(dir, since, since))
}

func (k *taker) soonest() (soonest time.Time) {
	for _, until := range k.until {
		if !until.IsZero() && (soonest.IsZero() || until.Before(soonest)) {
			soonest = until
		}
	}
	return soonest
}
