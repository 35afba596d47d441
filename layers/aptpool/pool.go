package aptpool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/sys/unix"
)

const (
	// maxAge is how old lists may be before they are fetched again: a mirror
	// forgets old versions.
	maxAge = 12 * time.Hour
	// maxTemporary is how long a copy that is on its way may take.
	maxTemporary = 24 * time.Hour
	temporary    = ".new-"
)

// Pool is a folder of packages and lists, which several processes may use.
type Pool struct {
	dir  string
	keys openpgp.EntityList
	log  *slog.Logger
}

// Open gives the pool in a folder, which is made when it is used. The keys in
// the files of keyrings are trusted to sign lists; those that are not there
// are left out.
func Open(dir string, keyrings []string, log *slog.Logger) (*Pool, error) {
	p := &Pool{dir: dir, log: log}
	for _, file := range keyrings {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("reading the keys of package lists: %w", err)
		}
		read := openpgp.ReadKeyRing
		if bytes.HasPrefix(data, []byte("-----BEGIN")) {
			read = openpgp.ReadArmoredKeyRing
		}
		keys, err := read(bytes.NewReader(data))
		if err != nil {
			// apt may understand it.
			log.Warn("a keyring cannot be read: what it signs is fetched by each container", "keyring", file, "error", err)
		}
		p.keys = append(p.keys, keys...)
	}
	return p, nil
}

func (p *Pool) archives() string             { return filepath.Join(p.dir, "pool") }
func (p *Pool) sources(key string) string    { return filepath.Join(p.dir, "sources", key) }
func (p *Pool) view(container string) string { return filepath.Join(p.dir, "views", container) }

// Sources are the repositories that apt uses in an image.
type Sources struct {
	key string
	// everValid: apt takes lists that expired, as of a snapshot.
	everValid bool
}

var (
	notInNames = regexp.MustCompile(`[^a-z0-9]+`)
	everValid  = regexp.MustCompile(`(?i)check-valid-until\s*[=:]\s*(no|false)`)
)

// NewSources are those that the text of apt's files says, in a distribution's
// release. The zero value has none.
func NewSources(release string, text []byte) Sources {
	if len(text) == 0 {
		return Sources{}
	}
	sum := sha256.Sum256(text)
	name := notInNames.ReplaceAllString(strings.ToLower(release), "")
	return Sources{key: fmt.Sprintf("%.32s-%x", name, sum[:8]), everValid: everValid.Match(text)}
}

// Empty reports whether there are no repositories.
func (s Sources) Empty() bool { return s.key == "" }

// release is what the key has of the distribution's release.
func (s Sources) release() string { return s.key[:strings.LastIndex(s.key, "-")] }

// View is what a container is given: the lower directories of mounts.
type View struct {
	Archives, Lists string
	// Complete: the lists are of all sources, and recent.
	Complete bool
}

// View makes a container's view. It is to be removed after the container.
func (p *Pool) View(container string, s Sources) (View, error) {
	dir := p.view(container)
	v := View{Archives: filepath.Join(dir, "archives"), Lists: filepath.Join(dir, "lists")}
	for _, sub := range []string{v.Archives, v.Lists} {
		// Every user inside reads them, whatever the umask.
		if err := errors.Join(os.MkdirAll(sub, 0o755), os.Chmod(sub, 0o755)); err != nil {
			return v, fmt.Errorf("making a view of apt's packages: %w", err)
		}
	}
	if s.Empty() {
		return v, nil
	}
	if err := p.viewArchives(v.Archives, s); err != nil {
		return v, fmt.Errorf("making a view of apt's packages: %w", err)
	}
	from := p.sources(s.key)
	if !p.isRecent(from, s) {
		return v, nil
	}
	var err error
	if v.Complete, err = viewLists(from, v.Lists); err != nil {
		return v, fmt.Errorf("making a view of apt's lists: %w", err)
	}
	return v, nil
}

// viewTries is how often newer lists may come while a view of them is made.
const viewTries = 5

// viewLists gives a view the lists of from, all of the same time, or none
// where newer ones keep coming. complete: they are of all sources.
func viewLists(from, to string) (complete bool, err error) {
	for range viewTries {
		complete, err = linkLists(from, to)
		if !errors.Is(err, fs.ErrNotExist) {
			return complete, err
		}
		// Newer ones took their place meanwhile: what was linked is removed.
		entries, err := os.ReadDir(to)
		if err != nil {
			return false, err
		}
		for _, entry := range entries {
			if err := os.Remove(filepath.Join(to, entry.Name())); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// linkLists links lists by the folder's descriptor, which another folder of
// the same name does not change. The error is fs.ErrNotExist where they were
// removed meanwhile.
func linkLists(from, to string) (complete bool, err error) {
	taken, err := os.OpenRoot(from)
	if err != nil {
		return false, err
	}
	defer taken.Close()
	lists, err := taken.Open("lists")
	if err != nil {
		return false, err
	}
	defer lists.Close()
	names, err := lists.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if err := unix.Linkat(int(lists.Fd()), name, unix.AT_FDCWD, filepath.Join(to, name), 0); err != nil {
			return false, fmt.Errorf("linking %q: %w", name, err)
		}
	}
	_, err = taken.Stat("complete")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isRecent reports whether lists were taken lately, and have not expired.
func (p *Pool) isRecent(dir string, s Sources) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	if age := time.Since(info.ModTime()); age < 0 || age > maxAge {
		return false
	}
	text, err := os.ReadFile(filepath.Join(dir, "until"))
	if err != nil {
		return false
	}
	until, err := time.Parse(time.RFC3339, string(text))
	return s.everValid || len(text) == 0 || err == nil && time.Now().Before(until)
}

// viewArchives links the packages that lists of the sources name, or, when no
// such lists are known, those of other sources of the same release.
func (p *Pool) viewArchives(to string, s Sources) error {
	lists, err := p.knownLists(s)
	if err != nil || len(lists) == 0 {
		return err
	}
	entries, err := os.ReadDir(p.archives())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		sum, name, ok := splitPooled(entry.Name())
		if !ok || !onlyOne(lists, name, sum) {
			continue
		}
		err := os.Link(filepath.Join(p.archives(), entry.Name()), filepath.Join(to, name))
		// Another run may have removed it meanwhile.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (p *Pool) knownLists(s Sources) (lists []named, err error) {
	files := []string{filepath.Join(p.sources(s.key), "named")}
	if _, err := os.Stat(files[0]); err != nil {
		if files, err = filepath.Glob(filepath.Join(p.sources(s.release()+"-*"), "named")); err != nil {
			return nil, err
		}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		lists = append(lists, named(data[:len(data)-len(data)%recordSize]))
	}
	return lists, nil
}

// onlyOne reports whether lists name a package so, and none of another digest.
// apt looks at its size only.
func onlyOne(lists []named, name string, sum [32]byte) bool {
	found := false
	for _, list := range lists {
		for _, d := range list.find(name) {
			if d.sha != sum {
				return false
			}
			found = true
		}
	}
	return found
}

func pooledName(d deb) string { return fmt.Sprintf("%x_%s", d.sha, d.name) }

func splitPooled(file string) (sum [32]byte, name string, ok bool) {
	digest, name, found := strings.Cut(file, "_")
	if !found || len(digest) != 2*len(sum) || !strings.HasSuffix(name, ".deb") {
		return sum, "", false
	}
	data, err := hex.DecodeString(digest)
	copy(sum[:], data)
	return sum, name, err == nil
}

// RemoveViews removes the views, and what was on its way, of a container or
// with "RUN-*" of a run's.
func (p *Pool) RemoveViews(containers string) error {
	left, err := filepath.Glob(p.view(containers))
	coming, globErr := filepath.Glob(p.sources("*." + containers))
	err = errors.Join(err, globErr)
	for _, dir := range slices.Concat(left, coming) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
