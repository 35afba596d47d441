package release

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Published is a release in the tree.
type Published struct {
	Manifest
	// Dir is the release's directory.
	Dir string
	// Sums is the digest of the release's SHA256SUMS: what vauban.sums= on a
	// kernel command line carries.
	Sums digest.Digest
	// Served shows that current names this release.
	Served bool
	// Candidate shows that the release was never served: it was published
	// while its master was pinned, see [Pin].
	Candidate bool
	// Unchanged shows that Publish found the release served, or a candidate,
	// to hold the same and made none.
	Unchanged bool
	// Removed are the hosts of the release before that Publish left out.
	Removed []string
	// Linked are the files that Publish shared with the release before.
	Linked []string
}

// unserved marks a release that was renamed into place and that current has
// not named yet. Without it, what a publisher left that died in between could
// be taken for an old release.
const unserved = ".unserved"

// Current reads the release of master that the tree at dir serves; an error of
// the kind fs.ErrNotExist shows that there is none.
func Current(dir, master string) (*Published, error) {
	if err := CheckMaster(master); err != nil {
		return nil, err
	}
	timestamp, err := served(filepath.Join(dir, master))
	if err != nil {
		return nil, fmt.Errorf("reading the current release of %q: %w", master, err)
	}
	p, err := readRelease(dir, master, timestamp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err) // there is a release, and a file of it is gone
	}
	return p, err
}

// Releases reads all releases of master, newest first. Those that cannot be
// read are left out and named by the error.
func Releases(dir, master string) ([]*Published, error) {
	if err := CheckMaster(master); err != nil {
		return nil, err
	}
	known, _, err := timestamps(filepath.Join(dir, master))
	if err != nil {
		return nil, fmt.Errorf("listing the releases of %q: %w", master, err)
	}
	var (
		all  []*Published
		errs []error
	)
	for _, timestamp := range known {
		p, err := readRelease(dir, master, timestamp)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, p)
	}
	return all, errors.Join(errs...)
}

// Verify reads every file of a release and compares it with what the release
// says of it; an error of the kind ErrDamaged names those that differ.
func (p *Published) Verify() error {
	var errs []error
	for _, f := range p.files() {
		errs = append(errs, verify(filepath.Join(p.Dir, f.Name), f))
	}
	return errors.Join(errs...)
}

// VerifyRootfs is Verify for the root filesystem alone.
func (p *Published) VerifyRootfs() error {
	return verify(filepath.Join(p.Dir, rootfsName), p.Rootfs.File)
}

// served returns the timestamp that current names below a master's directory.
func served(masterDir string) (string, error) {
	target, err := os.Readlink(filepath.Join(masterDir, currentName))
	if err != nil {
		return "", err
	}
	timestamp := filepath.Base(target)
	if target != filepath.Join(releasesName, timestamp) {
		return "", fmt.Errorf("%q names %q, not a release", filepath.Join(masterDir, currentName), target)
	}
	return timestamp, checkTimestamp(timestamp)
}

// timestamps returns the releases below a master's directory, newest first:
// those that are or were served, and those whose publisher died before.
func timestamps(masterDir string) (known, dead []string, err error) {
	entries, err := os.ReadDir(filepath.Join(masterDir, releasesName))
	if err != nil {
		return nil, nil, err
	}
	current, err := served(masterDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for _, e := range slices.Backward(entries) { // sorted by name
		if !e.IsDir() || checkTimestamp(e.Name()) != nil {
			continue
		}
		_, err := os.Lstat(filepath.Join(masterDir, releasesName, e.Name(), unserved))
		if err == nil && e.Name() != current {
			dead = append(dead, e.Name())
		} else {
			known = append(known, e.Name())
		}
	}
	return known, dead, nil
}

// readRelease reads a release and checks that its SHA256SUMS and manifest
// agree. The files themselves are not read.
func readRelease(dir, master, timestamp string) (_ *Published, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading release %q of %q: %w", timestamp, master, err)
		}
	}()
	p := &Published{Dir: filepath.Join(dir, master, releasesName, timestamp)}
	text, err := os.ReadFile(filepath.Join(p.Dir, manifestName))
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(text)
	if err != nil {
		return nil, err
	}
	if m.Master != master || m.Timestamp != timestamp {
		return nil, fmt.Errorf("its manifest is that of release %q of %q", m.Timestamp, m.Master)
	}
	p.Manifest = *m
	list, err := os.ReadFile(filepath.Join(p.Dir, sumsName))
	if err != nil {
		return nil, err
	}
	p.Sums = digest.FromBytes(list)
	sums, err := ParseSums(list)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(sums, digests(p.summed(text))) {
		return nil, fmt.Errorf("%s and %s do not agree: %w", sumsName, manifestName, ErrDamaged)
	}
	current, err := served(filepath.Join(dir, master))
	p.Served = err == nil && current == timestamp
	p.Candidate = !p.Served && isCandidate(p.Dir)
	return p, nil
}

// summed returns the files that SHA256SUMS lists: those of the manifest, and
// the manifest itself.
func (m *Manifest) summed(manifest []byte) []File {
	all := append(m.files(), File{Name: manifestName, Digest: digest.FromBytes(manifest)})
	slices.SortFunc(all, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func digests(files []File) map[string]digest.Digest {
	all := map[string]digest.Digest{}
	for _, f := range files {
		all[f.Name] = f.Digest
	}
	return all
}
