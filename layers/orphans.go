package layers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A run that is killed while containerd makes or deletes a container for it
// leaves things that containerd has no record of. All bear the run's id.

// killShims ends the shims that containerd did not wait for.
func killShims(run string) error {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	arguments := fmt.Sprintf("\x00-namespace\x00%s\x00-id\x00%s-", Namespace, run)
	for _, file := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return err
		}
		process, err := os.FindProcess(pid) // which another cannot replace
		if err != nil {
			return err
		}
		command, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(command), arguments) {
			err = process.Kill()
		}
		if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing shim %d: %w", pid, err)
		}
		process.Release()
	}
	return nil
}

// removeCgroups removes the cgroups of containers that were never made, and
// what was to become their process 1.
func removeCgroups(ctx context.Context, run string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	hierarchies, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, mounted := range hierarchies {
		left, err := filepath.Glob(filepath.Join(mounted, Namespace, run+"-*"))
		if err != nil {
			return err
		}
		for _, cgroup := range left {
			if err := removeCgroup(ctx, cgroup); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeCgroup(ctx context.Context, cgroup string) error {
	for {
		err := os.Remove(cgroup)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return err
		}
		for _, pid := range readPids(filepath.Join(cgroup, "cgroup.procs")) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		below, _ := os.ReadDir(cgroup)
		for _, entry := range below {
			if !entry.IsDir() {
				continue
			}
			if err := removeCgroup(ctx, filepath.Join(cgroup, entry.Name())); err != nil {
				return err
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
