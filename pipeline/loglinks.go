package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// linkLogs links the run's logs, and the latest, from where people look for
// them. That is not a reason to fail.
func (r *Runner) linkLogs() {
	if r.LogLinks == "" {
		return
	}
	if err := linkLogs(r.LogLinks, r.logs.dir); err != nil {
		r.Log.Warn("the run's logs are not linked", "from", r.LogLinks, "error", err)
	}
}

// linkLogs makes dir/NAME and dir/latest links to a folder of logs of that
// name. dir may stand where everybody can write, so it must be ours and a
// folder: with somebody else's, or through a link, we would write where they
// want.
func linkLogs(dir, logs string) (err error) {
	if err := unix.Mkdir(dir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s is not a folder of vauban's: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), dir)
	defer func() { err = errors.Join(err, f.Close()) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d", dir, stat.Uid)
	}
	if stat.Mode&0o077 != 0 {
		if err := unix.Fchmod(fd, 0o700); err != nil {
			return fmt.Errorf("closing %s to others: %w", dir, err)
		}
	}
	removeDangling(f)
	for _, name := range []string{filepath.Base(logs), "latest"} {
		temporary := ".new-" + filepath.Base(logs) + "-" + name
		err := unix.Symlinkat(logs, fd, temporary)
		if err == nil {
			err = unix.Renameat(fd, temporary, fd, name)
		}
		if err != nil {
			return fmt.Errorf("linking %s/%s: %w", dir, name, err)
		}
	}
	return nil
}

// removeDangling removes links to logs that are gone.
func removeDangling(dir *os.File) {
	names, _ := dir.Readdirnames(-1)
	fd := int(dir.Fd())
	for _, name := range names {
		var link, target unix.Stat_t
		if unix.Fstatat(fd, name, &link, unix.AT_SYMLINK_NOFOLLOW) != nil || link.Mode&unix.S_IFMT != unix.S_IFLNK {
			continue
		}
		if err := unix.Fstatat(fd, name, &target, 0); errors.Is(err, unix.ENOENT) {
			_ = unix.Unlinkat(fd, name, 0)
		}
	}
}
