package layers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"vauban/internal/beneath"
	"vauban/internal/gateway"
)

// maxLent bounds what is read of a file that is lent with additions. Lists of
// blocked names in /etc/hosts have several MiB.
const maxLent = 16 << 20

// lentFile is a plain file that the container has for its life. What the step
// left untouched is gone from the layer and the image's own shows again; what
// it changed is the step's.
type lentFile struct {
	path    string // absolute, inside
	content []byte
	ino     uint64
	mtime   time.Time
	mode    fs.FileMode
	// secret is never the step's, not even with another mode or owner.
	secret bool
	ours   bool // it never ships, changed or not
}

// lend writes the files that a machine has and an image has not, and those
// that ship: /etc/hostname, and a host's own machine-id. It runs inside the container.
func (c *Container) lend(ctx context.Context) error {
	return keepingDate("/etc", func() error { return c.lendFiles(ctx) })
}

func (c *Container) lendFiles(ctx context.Context) error {
	if err := ship(ctx, "/etc/hostname", c.options.Name, 0o644); err != nil {
		return err
	}
	resolv := []byte("nameserver " + gateway.Nameserver.String() + "\n")
	if c.options.HostNetwork {
		resolv = c.engine.resolvConf
	}
	hosts, err := beneath.ReadFile(ctx, "/", "/etc/hosts", maxLent)
	if errors.Is(err, fs.ErrNotExist) {
		hosts = []byte("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	} else if err != nil {
		return fmt.Errorf("the image has no usable /etc/hosts: %w", err)
	}
	if len(hosts) > 0 && !bytes.HasSuffix(hosts, []byte("\n")) {
		hosts = append(hosts, '\n')
	}
	lend := map[string][]byte{
		"/etc/resolv.conf": resolv,
		"/etc/hosts":       append(hosts, c.hostsLine()...),
	}
	if id := c.options.MachineID; id == "" {
		lend["/etc/machine-id"] = []byte(randomID() + "\n")
	} else if err := ship(ctx, "/etc/machine-id", id, 0o444); err != nil {
		return err
	}
	for path, content := range lend {
		if err := c.lendOne(path, content, 0o644); err != nil {
			return err
		}
	}
	return errors.Join(lendResolved(resolv), c.lendHostKeys())
}

// lendResolved writes the files of systemd-resolved, which runs in no step: one
// that links /etc/resolv.conf to them finds names from then on, as a machine does.
func lendResolved(resolv []byte) error {
	const dir = "/run/systemd/resolve"
	for _, name := range []string{"stub-resolv.conf", "resolv.conf"} {
		if _, err := beneath.Replace("/", filepath.Join(dir, name), resolv, 0o644); err != nil {
			return fmt.Errorf("lending the resolver: %w", err)
		}
	}
	return nil
}

func (c *Container) lendOne(path string, content []byte, mode fs.FileMode) error {
	lent, err := lendFile(path, content, mode)
	if err != nil {
		return fmt.Errorf("lending %q: %w", path, err)
	}
	c.lent = append(c.lent, lent)
	return nil
}

// keepingDate runs fn and gives dir the mtime that it had before: what we put
// there and take away is not a change of a step's.
func keepingDate(dir string, fn func() error) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fn()
	} else if err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return os.Chtimes(dir, info.ModTime(), info.ModTime())
}

// hostsLine has blanks as nobody else writes them: a playbook's own line for the
// machine is not taken for ours.
func (c *Container) hostsLine() string { return "127.0.1.1 \t" + c.Name() + "\n" }

// ship writes a file of one line that the layer keeps. It leaves alone what
// says so already: what is unchanged is in no layer.
func ship(ctx context.Context, path, line string, mode fs.FileMode) error {
	content := []byte(line + "\n")
	if old, err := beneath.ReadFile(ctx, "/", path, int64(len(content))); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if _, err := lendFile(path, content, mode); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}

// lendFile replaces whatever is at path, a link too, by a plain file: renames
// over it work, as they would not over a mount.
func lendFile(path string, content []byte, mode fs.FileMode) (lentFile, error) {
	info, err := beneath.Replace("/", path, content, mode)
	if err != nil {
		return lentFile{}, err
	}
	return lentFile{path: path, content: content, ino: info.Sys().(*syscall.Stat_t).Ino, mtime: info.ModTime(), mode: info.Mode()}, nil
}

// reclaim removes from the upperdir what was lent and not changed. It follows
// no link, which would lead to some place on the builder: where a step made
// /etc one, nothing of ours is left to take back.
func (c *Container) reclaim(ctx context.Context) error {
	for _, lent := range c.lent {
		info, found, _, err := lookup(c.root.upper, strings.Split(lent.path, "/"))
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		untouched, err := lent.untouched(ctx, c.root.upper, info)
		if err != nil {
			return err
		}
		if untouched || lent.ours {
			err = c.root.withdraw(lent.path)
		} else if lent.path == "/etc/hosts" {
			err = removeLine(ctx, c.root.upper, lent.path, info, c.hostsLine())
		}
		if err != nil {
			return fmt.Errorf("taking back %q: %w", lent.path, err)
		}
	}
	return nil
}

func (l lentFile) untouched(ctx context.Context, upper string, info fs.FileInfo) (bool, error) {
	if !info.Mode().IsRegular() || info.Size() != int64(len(l.content)) {
		return false, nil
	}
	if l.secret {
		return l.isIn(ctx, upper)
	}
	if info.Mode() != l.mode || info.Sys().(*syscall.Stat_t).Ino != l.ino || !info.ModTime().Equal(l.mtime) {
		return false, nil
	}
	return l.isIn(ctx, upper)
}

func (l lentFile) isIn(ctx context.Context, upper string) (bool, error) {
	content, err := beneath.ReadFile(ctx, upper, l.path, int64(len(l.content)))
	return bytes.Equal(content, l.content), err
}

// removeLine takes our line out of a file that a step changed around it.
func removeLine(ctx context.Context, upper, path string, info fs.FileInfo, line string) error {
	if !info.Mode().IsRegular() {
		return nil // the step linked it
	}
	content, err := beneath.ReadFile(ctx, upper, path, maxLent)
	if err != nil {
		return err
	}
	rest := bytes.Replace(content, []byte(line), nil, 1)
	if len(rest) == len(content) {
		return nil
	}
	path = filepath.Join(upper, path)
	if err := os.WriteFile(path, rest, info.Mode().Perm()); err != nil { // a regular file: it was looked at
		return err
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}
