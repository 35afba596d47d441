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
	return nil
}

// drop removes from the upperdir what a pattern matches in one directory, and
// the directories that hold nothing else: the parent's show again. It follows
// no link.
func (o overlay) drop(pattern string) error {
	dir := path.Dir(pattern)
	info, found, _, err := lookup(o.upper, strings.Split(dir, "/"))
	if err != nil || !found || !info.IsDir() {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(o.upper, dir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ok, err := path.Match(path.Base(pattern), entry.Name()); err != nil {
			return err
		} else if ok {
			if err := os.RemoveAll(filepath.Join(o.upper, dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if dropped, err := o.dropDir(dir); err != nil || !dropped {
			return err
		}
	}
	return nil
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
