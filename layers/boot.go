package layers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
)

// fillRun makes /run what it would be after a boot: what tmpfiles.d declares
// and the runtime directories of the image's units. `sshd -t` for one wants
// /run/sshd.
func (c *Container) fillRun(ctx context.Context) error {
	if c.has("/usr/bin/systemd-tmpfiles") {
		// It complains about what only a real boot can do; what it
		// could do is done all the same.
		if out, err := c.output(ctx, "systemd-tmpfiles", "--create", "--prefix=/run"); err != nil && ctx.Err() == nil {
			c.engine.log.Debug("filling /run", "container", c.Name(), "said", lastLines(out, 3))
		}
	}
	return c.Inside(makeRuntimeDirectories)
}

func (c *Container) has(path string) bool {
	return c.Inside(func() error { _, err := os.Stat(path); return err }) == nil
}

// makeRuntimeDirectories reads RuntimeDirectory= of all units.
// Source: systemd.exec(5).
func makeRuntimeDirectories() error {
	for _, dir := range []string{"/usr/lib/systemd/system", "/etc/systemd/system"} {
		units, err := filepath.Glob(filepath.Join(dir, "*.service"))
		if err != nil {
			return err
		}
		for _, unit := range units {
			if err := makeRuntimeDirectoriesOf(unit); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeRuntimeDirectoriesOf(unit string) error {
	set, err := readUnit(unit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a link to /dev/null or to nowhere
	} else if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(set["RuntimeDirectoryMode"], 8, 32)
	if err != nil {
		mode = 0o755
	}
	owner, err := user.GetExecUserPath(ownerOf(set), &user.ExecUser{}, "/etc/passwd", "/etc/group")
	if err != nil {
		return nil // a user that is made at boot
	}
	for _, name := range strings.Fields(set["RuntimeDirectory"]) {
		name, _, _ = strings.Cut(name, ":")
		path := filepath.Join("/run", filepath.Clean("/"+name))
		if strings.Contains(name, "%") || path == "/run" {
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := errors.Join(os.MkdirAll(path, fs.FileMode(mode)), os.Chmod(path, fs.FileMode(mode)), os.Chown(path, owner.Uid, owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}

func ownerOf(unit map[string]string) string {
	if unit["Group"] == "" {
		return unit["User"]
	}
	return unit["User"] + ":" + unit["Group"]
}

// readUnit gives the last value of each setting, which is enough for the few
// that are asked for here.
func readUnit(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	set := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if ok && !strings.HasPrefix(name, "#") {
			set[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return set, lines.Err()
}

// user gives the command that becomes who, as the image's files know him.
func (c *Container) user(who string) ([]string, error) {
	if who == "" || who == "root" || who == "0" {
		return nil, nil
	}
	var found *user.ExecUser
	err := c.Inside(func() (err error) {
		found, err = user.GetExecUserPath(who, &user.ExecUser{}, "/etc/passwd", "/etc/group")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for user %q: %w", who, err)
	}
	groups := []string{"--clear-groups"}
	if len(found.Sgids) > 0 {
		ids := make([]string, len(found.Sgids))
		for i, id := range found.Sgids {
			ids[i] = strconv.Itoa(id)
		}
		groups = []string{"--groups", strings.Join(ids, ",")}
	}
	argv := append([]string{"setpriv", "--reuid", strconv.Itoa(found.Uid), "--regid", strconv.Itoa(found.Gid)}, groups...)
	return append(argv, "env", "HOME="+found.Home), nil
}
