package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// filledMark is a file dated as the newest of what fill-run read: the profile
// compares.
const filledMark = "/run/.vauban-filled"

// declares are the folders of what declares something below /run.
var declares = []string{"/usr/lib/systemd/system", "/etc/systemd/system", "/usr/lib/tmpfiles.d", "/etc/tmpfiles.d"}

// fillRun makes /run what it would be after a boot: what tmpfiles.d declares,
// and the runtime directories of the image's units. `sshd -t`, for one, needs
// /run/sshd. Sources: systemd.exec(5), tmpfiles.d(5).
func fillRun(c *call) int {
	unix.Umask(0o022)
	newest := c.newest(declares) // before they are read
	if c.find("systemd-tmpfiles") != "" {
		// It complains about what only a real boot can do; what it could do is done.
		c.start(output{c.stdout, c.stderr}, "systemd-tmpfiles", "--create", "--prefix=/run")
	}
	for _, dir := range []string{"/usr/lib/systemd/system", "/etc/systemd/system"} {
		entries, _ := c.root.ReadDir(dir)
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".service") {
				c.fillFor(path.Join(dir, entry.Name()))
			}
		}
	}
	if err := c.mark(filledMark, newest); err != nil {
		return c.fail(1, "vauban: filling /run: %v", err)
	}
	return 0
}

// newest returns the date of the directory that changed last.
func (c *call) newest(dirs []string) time.Time {
	newest := time.Unix(0, 0)
	for _, dir := range dirs {
		if info, err := c.root.Stat(dir); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}

// mark makes an empty file with a date, complete at once.
func (c *call) mark(name string, date time.Time) error {
	name = c.root.Join(name)
	f, err := os.CreateTemp(path.Dir(name), ".vauban-")
	if err != nil {
		return err
	}
	err = errors.Join(f.Chmod(0o644), f.Close(), os.Chtimes(f.Name(), date, date))
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// fillFor makes the runtime directories of one unit file.
func (c *call) fillFor(file string) {
	content := c.root.text(file)
	if !strings.Contains(content, "RuntimeDirectory") {
		return
	}
	says := parseUnit([]byte(content))
	names := strings.Fields(says.last("RuntimeDirectory"))
	if len(names) == 0 {
		return
	}
	who := says.last("User")
	if who == "" {
		who = "root"
	}
	owner, found := c.user(who)
	if !found {
		return // made at boot
	}
	if which := says.last("Group"); which != "" {
		if owner.gid, found = c.group(which); !found {
			fmt.Fprintf(c.stderr, "vauban: %s: no group %q\n", file, which)
			return
		}
	}
	mode := uint64(0o755)
	if text := says.last("RuntimeDirectoryMode"); text != "" {
		var err error
		if mode, err = strconv.ParseUint(text, 8, 12); err != nil {
			fmt.Fprintf(c.stderr, "vauban: %s: mode %q is not an octal number\n", file, text)
			return
		}
	}
	for _, name := range names {
		if err := c.makeRuntimeDir(name, owner, mode); err != nil {
			fmt.Fprintln(c.stderr, "vauban: making a runtime directory:", err)
		}
	}
}

// makeRuntimeDir makes a directory below /run, unless there is something.
func (c *call) makeRuntimeDir(name string, owner user, mode uint64) error {
	name, _, _ = strings.Cut(name, ":")
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." || part == "." {
			return nil
		}
	}
	if strings.Contains(name, "%") || name == "" || strings.HasPrefix(name, "/") {
		return nil
	}
	dir := c.root.Join(path.Join("/run", name))
	if err := os.MkdirAll(path.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	// the mode last, for chown takes bits of it away
	return errors.Join(os.Lchown(dir, owner.uid, owner.gid), os.Chmod(dir, unixMode(mode)))
}

// unixMode is a mode as chmod(1) writes it.
func unixMode(bits uint64) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for bit, flag := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= flag
		}
	}
	return mode
}
