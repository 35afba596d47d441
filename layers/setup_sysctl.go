package layers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// sysctl is one file below /proc/sys.
type sysctl struct {
	path  string // below /proc/sys
	mode  fs.FileMode
	value []byte
}

// readSysctlsOnce reads the builder's at the first call: 1,300 small files.
func readSysctlsOnce() func() ([]sysctl, error) {
	return sync.OnceValues(func() ([]sysctl, error) {
		var all []sysctl
		err := fs.WalkDir(os.DirFS("/proc/sys"), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == "." {
				return err
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			} else if err != nil {
				return err
			}
			// Some may only be written, some fail to be read: they
			// are there all the same.
			value, _ := os.ReadFile(filepath.Join("/proc/sys", path))
			all = append(all, sysctl{path, info.Mode(), value})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading the builder's sysctls: %w", err)
		}
		return all, nil
	})
}

// mountSysctls covers /proc/sys with a private copy that may be written: what
// a sysctl task sets is read back, and nothing outside changes. It runs
// inside the container.
func mountSysctls(all []sysctl, hostname string) error {
	const uuid, aside = "/proc/sys/kernel/random/uuid", "/run/.vauban-uuid"
	// It is new at each reading only in the real file.
	if err := bind(uuid, aside); err != nil {
		return err
	}
	if err := unix.Mount("vauban-sysctl", "/proc/sys", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=555,size=16m"); err != nil {
		return fmt.Errorf("mounting a copy of /proc/sys: %w", err)
	}
	for _, s := range all {
		path := filepath.Join("/proc/sys", s.path)
		if s.mode.IsDir() {
			if err := os.Mkdir(path, 0o755); err != nil {
				return err
			}
			continue
		}
		if s.path == "kernel/hostname" {
			s.value = []byte(hostname + "\n")
		}
		if err := os.WriteFile(path, s.value, s.mode.Perm()); err != nil {
			return err
		}
	}
	if err := bind(aside, uuid); err != nil {
		return err
	}
	readOnly := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("", uuid, "", readOnly, ""); err != nil {
		return fmt.Errorf("making %q read-only: %w", uuid, err)
	}
	if err := unix.Unmount(aside, unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Remove(aside)
}

// bind mounts a file over another, which it makes where there is none.
func bind(source, target string) error {
	file, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	file.Close()
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %q to %q: %w", source, target, err)
	}
	return nil
}
