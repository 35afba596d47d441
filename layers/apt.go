package layers

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
)

// Where apt keeps what it can fetch again: private mounts, in no layer.
const (
	aptCache = "/var/cache/apt"
	aptLists = "/var/lib/apt/lists"
)

const (
	// aptListsAge is how old package lists may be before they are fetched
	// again: a mirror forgets old versions.
	aptListsAge = 12 * time.Hour
	// aptPoolSize bounds the packages kept for later containers, in bytes.
	aptPoolSize = 4 << 30
	// dpkgStatus is where dpkg says what is installed.
	dpkgStatus = "var/lib/dpkg/status"
	// maxStatus and maxSources bound what is read of it and of a list of
	// sources, in bytes. dpkg writes some 2 KiB for each package.
	maxStatus, maxSources = 64 << 20, 1 << 20
	// maxEntries bounds the directories of an image that are read.
	maxEntries = 10_000
)

// One apt locks its directories, so each container has its own; they are
// filled from a pool by hard links and give back what is new. Packages are
// pooled by their file name, which holds name, version and architecture. apt
// checks what it fetches against its signed lists, and what it finds here by
// its size only: steps share the pool as they share the builder. Lists are
// pooled by the sources they were fetched from.

func (e *Engine) aptDir() string                 { return cmp.Or(e.apt.Pool, filepath.Join(e.stateDir, "apt")) }
func (e *Engine) aptPool() string                { return filepath.Join(e.aptDir(), "archives") }
func (e *Engine) aptListsPool(key string) string { return filepath.Join(e.aptDir(), "lists", key) }
func (c *Container) aptDir(name string) string   { return filepath.Join(c.dir, "apt", name) }

// fillApt gives the container packages and lists that were fetched before.
// Nothing of the image runs yet: it could put a link to some place on the
// builder where the packages go.
func (c *Container) fillApt(ctx context.Context) error {
	if !c.has("/usr/bin/apt-get") {
		return nil
	}
	if err := linkFiles(c.engine.aptPool(), c.aptDir("cache/archives")); err != nil {
		return fmt.Errorf("lending apt its packages: %w", err)
	}
	key, err := c.aptSources(ctx)
	if err != nil || key == "" {
		return err
	}
	c.lists = key
	pool := c.engine.aptListsPool(key)
	if info, err := os.Stat(pool); err == nil && time.Since(info.ModTime()) < aptListsAge {
		return linkFiles(pool, c.aptDir("lists"))
	}
	c.lacksLists = true
	return nil
}

// fetchLists fetches the package lists that nobody had.
func (c *Container) fetchLists(ctx context.Context) error {
	if !c.lacksLists || !c.options.AptLists {
		return nil
	}
	if _, err := c.output(ctx, "apt-get", "update", "-q"); err != nil {
		// The playbook may know better, or not need it.
		c.engine.log.Warn("fetching apt's package lists", "container", c.Name(), "error", err)
	}
	return ctx.Err()
}

// aptSources digests where apt gets its packages from; "" is from nowhere.
func (c *Container) aptSources(ctx context.Context) (string, error) {
	var all []byte
	err := c.Inside(func() (err error) {
		all, err = readSources(ctx)
		return err
	})
	if err != nil || len(all) == 0 {
		return "", err
	}
	return digest.FromBytes(all).Encoded()[:16], nil
}

// readSources reads what apt would, of the system whose root is this thread's.
func readSources(ctx context.Context) (all []byte, err error) {
	root, err := beneath.OpenRoot("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files, err := root.Glob("/etc/apt/sources.list.d/*", maxEntries)
	if err != nil {
		return nil, err
	}
	for _, file := range append([]string{"/etc/apt/sources.list"}, files...) {
		if info, err := root.Stat(file); err == nil && info.IsDir() {
			continue // apt does not look into it either
		}
		data, err := root.ReadFile(ctx, file, maxSources)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading apt's sources in the image: %w", err)
		}
		all = append(all, data...)
	}
	return all, nil
}

// keepApt gives back to the pool what the container fetched.
func (c *Container) keepApt() error {
	if c.lists == "" {
		return nil
	}
	pool := c.engine.aptPool()
	// What is a link inside would lead to some place on the builder, whose files
	// the pool would then lend to containers.
	if info, err := os.Lstat(c.aptDir("cache/archives")); err == nil && info.IsDir() {
		if err := linkFiles(c.aptDir("cache/archives"), pool); err != nil {
			return fmt.Errorf("keeping apt's packages: %w", err)
		}
	}
	if err := c.markUsed(pool); err != nil {
		return fmt.Errorf("keeping apt's packages: %w", err)
	}
	if err := c.keepLists(); err != nil {
		return fmt.Errorf("keeping apt's package lists: %w", err)
	}
	return bound(pool, cmp.Or(c.engine.apt.PoolSize, aptPoolSize))
}

// markUsed dates the pooled packages that are installed in the container, when
// it installed any: those that no image has had for longest go first. Their own
// dates are the mirror's.
func (c *Container) markUsed(pool string) error {
	// No link of the container's is followed.
	info, found, _, err := lookup(c.root.upper, strings.Split(dpkgStatus, "/"))
	if err != nil || !found || !info.Mode().IsRegular() {
		return err
	}
	content, err := beneath.ReadFile(context.Background(), c.root.upper, dpkgStatus, maxStatus)
	if err != nil {
		return err
	}
	status := bytes.NewReader(content)
	now := time.Now()
	for _, name := range installedArchives(status) {
		err := os.Chtimes(filepath.Join(pool, name), now, now)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// installedArchives names the files that apt keeps the installed packages of
// dpkg's status file in: NAME_VERSION_ARCHITECTURE.deb, the epoch's colon
// escaped.
func installedArchives(status io.Reader) []string {
	var names []string
	fields := map[string]string{}
	end := func() {
		if strings.HasSuffix(fields["Status"], " installed") {
			name := strings.Join([]string{fields["Package"], strings.ReplaceAll(fields["Version"], ":", "%3a"), fields["Architecture"]}, "_") + ".deb"
			if filepath.Base(name) == name {
				names = append(names, name)
			}
		}
		clear(fields)
	}
	lines := bufio.NewReader(status)
	for {
		line, err := lines.ReadString('\n')
		if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
			fields[name] = strings.TrimSpace(value)
		}
		if strings.TrimSpace(line) == "" {
			end()
		}
		if err != nil {
			end()
			return names
		}
	}
}

// keepLists replaces the pooled lists when these are newer.
func (c *Container) keepLists() error {
	lists, pool := c.aptDir("lists"), c.engine.aptListsPool(c.lists)
	fetched, err := filepath.Glob(filepath.Join(lists, "*Release"))
	if err != nil || len(fetched) == 0 {
		return err
	}
	mine, err := os.Stat(lists)
	if err != nil {
		return err
	}
	if theirs, err := os.Stat(pool); err == nil && !mine.ModTime().After(theirs.ModTime()) {
		return nil
	}
	next := pool + "." + c.id
	defer os.RemoveAll(next)
	if err := linkFiles(lists, next); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, pool, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(next, pool)
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil // another run was faster
	}
	return err
}

// removeLists removes lists that a run did not come to put in their place.
func (e *Engine) removeLists(run string) error {
	left, err := filepath.Glob(e.aptListsPool("*." + run + "-*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// linkFiles gives to the files of from, but not of its sub-directories, apt's
// locks and what is there already; it makes copies across filesystems. The
// date of to becomes that of from.
func linkFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		// What begins with a dot is a copy under way.
		if !entry.Type().IsRegular() || entry.Name() == "lock" || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		err := os.Link(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()))
		if errors.Is(err, unix.EXDEV) {
			err = copyFile(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()))
		}
		// Another run may have pruned it or linked it meanwhile.
		if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	next, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name())
	if _, err := io.Copy(next, in); err != nil {
		return errors.Join(err, next.Close())
	}
	if err := errors.Join(next.Chmod(0o644), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), to)
}

// bound removes the packages of dir that were used longest ago until it holds
// at most size bytes. Containers that have them keep theirs.
func bound(dir string, size int64) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var files []fs.FileInfo
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && strings.HasSuffix(entry.Name(), ".deb") {
			files = append(files, info)
			size -= info.Size()
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range files {
		if size >= 0 {
			return nil
		}
		if err := os.Remove(filepath.Join(dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		size += info.Size()
	}
	return nil
}
