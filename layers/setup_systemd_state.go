package layers

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// systemdState is what systemd keeps for itself as it runs: of a build, it is
// of no use to a machine. What units keep is the step's.
var systemdState = []string{
	"var/lib/systemd/timers/stamp-*",
	"var/lib/systemd/random-seed",
	"var/lib/systemd/credential.secret",
	"var/lib/systemd/timesync/clock",
	"var/lib/systemd/linger/.#*",
	"var/tmp/systemd-private-*",
}

// networkState is NetworkManager's: a key that is one machine's, and what it saw
// of networks.
var networkState = []string{"secret_key", "timestamps", "seen-bssids", "*.lease"}

// dropSystemdState removes it from the upperdir.
func (c *Container) dropSystemdState() error {
	patterns := systemdState
	for _, lent := range c.lent {
		if lent.path == "/etc/machine-id" {
			// by the name of a machine that there never was
			patterns = append(patterns[:len(patterns):len(patterns)], "var/log/journal/"+strings.TrimSpace(string(lent.content)))
		}
	}
	for _, pattern := range patterns {
		if err := c.root.drop(pattern); err != nil {
			return err
		}
	}
	return c.root.dropFiles("var/lib/NetworkManager", networkState...)
}

// drop removes from the upperdir what a pattern matches in one directory, and
// the directories that hold nothing else: the parent's show again. It follows
// no link.
func (o overlay) drop(pattern string) error {
	dir := path.Dir(pattern)
	if found, err := o.removeFiles(dir, path.Base(pattern)); err != nil || !found {
		return err
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if dropped, err := o.dropDir(dir); err != nil || !dropped {
			return err
		}
	}
	return nil
}

// dropFiles removes from the upperdir what patterns match in a directory that is
// a package's: it stays where the parent has none.
func (o overlay) dropFiles(dir string, patterns ...string) error {
	found, err := o.removeFiles(dir, patterns...)
	if err != nil || !found {
		return err
	}
	if _, _, err := o.inLower(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	_, err = o.dropDir(dir)
	return err
}

// removeFiles removes what patterns match in a directory of the upperdir. It
// reports whether there is such a directory.
func (o overlay) removeFiles(dir string, patterns ...string) (bool, error) {
	info, found, _, err := lookup(o.upper, strings.Split(dir, "/"))
	if err != nil || !found || !info.IsDir() {
		return false, err
	}
	entries, err := os.ReadDir(filepath.Join(o.upper, dir))
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		for _, pattern := range patterns {
			if ok, err := path.Match(pattern, entry.Name()); err != nil {
				return false, err
			} else if !ok {
				continue
			}
			if err := os.RemoveAll(filepath.Join(o.upper, dir, entry.Name())); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// dropDir removes a directory from the upperdir when that changes nothing but
// its date.
func (o overlay) dropDir(dir string) (bool, error) {
	upper := filepath.Join(o.upper, dir)
	info, err := os.Lstat(upper)
	if err != nil {
		return false, err
	}
	below, _, err := o.inLower(dir)
	if err == nil {
		mine, its := info.Sys().(*syscall.Stat_t), below.Sys().(*syscall.Stat_t)
		if !below.IsDir() || isOpaque(upper) || info.Mode() != below.Mode() || mine.Uid != its.Uid || mine.Gid != its.Gid {
			return false, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	err = os.Remove(upper)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return false, nil
	}
	return err == nil, err
}
