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
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
	"vauban/layers/aptpool"
)

// Where apt keeps what it can fetch again: private mounts, in no layer.
const (
	aptCache    = "/var/cache/apt"
	aptArchives = aptCache + "/archives"
	aptLists    = "/var/lib/apt/lists"
)

const (
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

// distributionKeys sign the lists of distributions, on a builder that has them.
var distributionKeys = []string{
	"/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp",
	"/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}

// One apt locks its directories, so each container has its own: overlay mounts
// whose lower directory is a view of the pool, and whose upper one holds what
// the container fetches. See [aptpool] for what of that is kept.

// aptState is what a container knows of apt.
type aptState struct {
	sources aptpool.Sources
	view    aptpool.View
	since   time.Time
}

func (c *Container) aptDir(name string) string { return filepath.Join(c.dir, "apt", name) }

// openPool opens the pool of packages. The state directory's own held links to
// files of containers before, which are of no use.
func (e *Engine) openPool() (err error) {
	dir := e.apt.Pool
	if dir == "" {
		dir = filepath.Join(e.stateDir, "apt")
		for _, old := range []string{"archives", "lists"} {
			if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
				return fmt.Errorf("removing the packages of an older version: %w", err)
			}
		}
	}
	e.pool, err = aptpool.Open(dir, append(append([]string{}, distributionKeys...), e.apt.Keyrings...), e.log)
	return err
}

// prepareApt makes the view of the pool that the container is given.
func (c *Container) prepareApt(ctx context.Context) (err error) {
	c.apt.since = time.Now()
	for _, sub := range []string{"cache/archives", "archives/upper", "archives/work", "lists/upper", "lists/work"} {
		if err := os.MkdirAll(c.aptDir(sub), 0o755); err != nil {
			return fmt.Errorf("making apt's private folders: %w", err)
		}
	}
	if c.apt.sources, err = c.engine.aptSources(ctx, c.parent); err != nil {
		return err
	}
	given := c.apt.sources
	if c.isolatesApt() {
		given = aptpool.Sources{}
	}
	c.apt.view, err = c.engine.pool.View(c.id, given)
	return err
}

// isolatesApt: the container is given nothing of the pool, as its user
// namespace may not make overlay mounts.
func (c *Container) isolatesApt() bool {
	var name unix.Utsname
	return c.options.Systemd && unix.Uname(&name) == nil && !mountsOverlays(unix.ByteSliceToString(name.Release[:]))
}

// mountsOverlays reports whether Linux of a release lets user namespaces make
// overlay mounts, since 5.11.
func mountsOverlays(release string) bool {
	var major, minor int
	_, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 11)
}

// aptMounts are overlay mounts over the view: what the container writes goes
// to its own directories.
func (c *Container) aptMounts() []specs.Mount {
	var all []specs.Mount
	for _, m := range []struct{ lower, own, at string }{
		{c.apt.view.Archives, "archives", aptArchives}, {c.apt.view.Lists, "lists", aptLists},
	} {
		if c.isolatesApt() {
			all = append(all, bindMount(c.aptDir(m.own+"/upper"), m.at))
			continue
		}
		options := []string{"lowerdir=" + m.lower, "upperdir=" + c.aptDir(m.own+"/upper"), "workdir=" + c.aptDir(m.own+"/work")}
		if c.options.Systemd {
			// A user namespace may not set attributes of trusted.*.
			options = append(options, "userxattr")
		}
		all = append(all, specs.Mount{Type: "overlay", Source: "overlay", Destination: m.at, Options: options})
	}
	return all
}

// fetchLists fetches the package lists that the pool does not have.
func (c *Container) fetchLists(ctx context.Context) error {
	if c.apt.sources.Empty() || c.apt.view.Complete || !c.options.AptLists {
		return nil
	}
	if _, err := c.output(ctx, "apt-get", "update", "-q"); err != nil {
		// The playbook may know better, or not need it.
		c.engine.log.Warn("fetching apt's package lists", "container", c.Name(), "error", err)
	}
	return ctx.Err()
}

// sourcesOf remembers the sources of images.
type sourcesOf struct {
	mu    sync.Mutex
	known map[digest.Digest]aptpool.Sources
}

// aptSources are those that an image has, none without apt.
func (e *Engine) aptSources(ctx context.Context, img Image) (found aptpool.Sources, err error) {
	if len(img.Config.RootFS.DiffIDs) == 0 {
		return found, nil
	}
	e.aptKnown.mu.Lock()
	defer e.aptKnown.mu.Unlock()
	if found, ok := e.aptKnown.known[img.ChainID()]; ok {
		return found, nil
	}
	err = e.Mount(ctx, img, func(dir string) error {
		root, err := beneath.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		if _, err := root.Stat("/usr/bin/apt-get"); err != nil {
			return nil
		}
		text, err := readSources(ctx, root)
		if err != nil {
			return err
		}
		found = aptpool.NewSources(releaseOf(ctx, root), text)
		return nil
	})
	if err == nil {
		if e.aptKnown.known == nil {
			e.aptKnown.known = map[digest.Digest]aptpool.Sources{}
		}
		e.aptKnown.known[img.ChainID()] = found
	}
	return found, err
}

// releaseOf names a distribution's release, as an image says it.
func releaseOf(ctx context.Context, root *beneath.Root) (name string) {
	text, _ := root.ReadFile(ctx, "/etc/os-release", maxSources) // without one there is no name
	return releaseIn(text)
}

// releaseIn is what an os-release file says.
func releaseIn(text []byte) (name string) {
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, "="); key == "ID" || key == "VERSION_ID" || key == "VERSION_CODENAME" {
			name += value
		}
	}
	return name
}

// readSources reads what apt would.
func readSources(ctx context.Context, root *beneath.Root) (all []byte, err error) {
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

// keepApt gives the pool what the container fetched, as far as it is signed.
func (c *Container) keepApt(ctx context.Context) error {
	if c.apt.sources.Empty() {
		return nil
	}
	pool := c.engine.pool
	err := pool.KeepLists(ctx, aptpool.Taken{Sources: c.apt.sources, Container: c.id,
		Changed: c.aptDir("lists/upper"), Given: c.apt.view.Lists, Since: c.apt.since})
	if err != nil {
		return fmt.Errorf("keeping apt's package lists: %w", err)
	}
	err = pool.KeepArchives(ctx, c.apt.sources, c.aptDir("archives/upper"))
	if err != nil {
		return fmt.Errorf("keeping apt's packages: %w", err)
	}
	installed, err := c.installed(ctx)
	if err == nil {
		err = pool.MarkUsed(installed)
	}
	if err != nil {
		return fmt.Errorf("keeping apt's packages: %w", err)
	}
	return pool.Bound(cmp.Or(c.engine.apt.PoolSize, aptPoolSize))
}

// installed names the packages that are installed in the container, when it
// installed any, by their files of apt's.
func (c *Container) installed(ctx context.Context) ([]string, error) {
	// No link of the container's is followed.
	info, found, _, err := lookup(c.root.upper, strings.Split(dpkgStatus, "/"))
	if err != nil || !found || !info.Mode().IsRegular() {
		return nil, err
	}
	content, err := beneath.ReadFile(ctx, c.root.upper, dpkgStatus, maxStatus)
	if err != nil {
		return nil, err
	}
	return installedArchives(bytes.NewReader(content)), nil
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
