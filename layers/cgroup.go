package layers

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// unifiedMount is where cgroup v2 is mounted when it is the only version.
const unifiedMount = "/sys/fs/cgroup"

// CheckCgroups says why runc cannot put containers into cgroups here. Nil where
// nothing is known to prevent it.
func CheckCgroups() error {
	hierarchies, err := cgroupMounts()
	if err != nil {
		return fmt.Errorf("looking for cgroups: %w", err)
	}
	return checkCgroups(hierarchies, func(path string) error { return unix.Access(path, unix.W_OK) })
}

func checkCgroups(hierarchies map[string]string, writable func(path string) error) error {
	var used []string
	for controllers, path := range hierarchies {
		if controllers != "" || path == unifiedMount {
			used = append(used, path)
		}
	}
	if len(used) == 0 {
		return errors.New("no cgroups are mounted: mount -t cgroup2 cgroup2 " + unifiedMount)
	}
	slices.Sort(used)
	for _, path := range used {
		if err := writable(path); err != nil {
			return fmt.Errorf("containers need cgroups of their own, and none can be made in %q: %w: in a container, pass --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup", path, err)
		}
	}
	return nil
}

// cgroupProcs names the files that take a pid into the cgroups of pid.
func cgroupProcs(pid int) ([]string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, fmt.Errorf("reading the container's cgroups: %w", err)
	}
	defer f.Close()
	hierarchies, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	var files []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// hierarchy-ID:controller-list:cgroup-path, see cgroups(7)
		fields := strings.SplitN(lines.Text(), ":", 3)
		if len(fields) != 3 || fields[2] == "/" {
			continue
		}
		mounted, ok := hierarchies[fields[1]]
		if !ok {
			continue
		}
		files = append(files, filepath.Join(mounted, fields[2], "cgroup.procs"))
	}
	if len(files) == 0 {
		return nil, errors.New("the container is in no cgroup: mount cgroup v2 at /sys/fs/cgroup")
	}
	return files, nil
}

// cgroupMounts maps a hierarchy as /proc/PID/cgroup names it to its mount
// point: "" is cgroup v2.
func cgroupMounts() (map[string]string, error) { return cgroupMountsIn("/proc/self/mountinfo") }

func cgroupMountsIn(mountinfo string) (map[string]string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 {
			continue
		}
		switch super[0] {
		case "cgroup2":
			// Others mount it once more elsewhere, for their own use.
			if found[""] != unifiedMount {
				found[""] = fields[4]
			}
		case "cgroup":
			// The controllers stand among the super options, in the
			// order of /proc/PID/cgroup, after "rw".
			_, controllers, _ := strings.Cut(super[2], ",")
			found[controllers] = fields[4]
		}
	}
	return found, nil
}
