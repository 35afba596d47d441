package layers

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is what processes get between TERM and KILL.
const grace = 10 * time.Second

// kill ends everything in the container without asking: the kernel kills a pid
// namespace with its process 1.
func (c *Container) kill() {
	_ = unix.PidfdSendSignal(int(c.init.Fd()), unix.SIGKILL, nil, 0)
}

// terminate asks everything but process 1 to end, and names in the log what
// did not: killing a database is not how a layer should be made.
func (c *Container) terminate(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	left := c.processes()
	for _, pid := range left {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(left) > 0 {
		select {
		case <-ctx.Done():
			for _, pid := range left {
				c.engine.log.Warn("killing a process that did not end", "container", c.Name(), "process", commandOf(pid))
			}
			return
		case <-tick.C:
			left = c.processes()
		}
	}
}

// processes are those in the container besides process 1, and besides the
// services of systemd, which stops them itself.
func (c *Container) processes() []int {
	pids := map[int]bool{}
	cgroups := c.joinedCgroups()
	if c.options.Systemd {
		cgroups = cgroups[len(cgroups)-1:] // services are in others of cgroup v2
	}
	for _, file := range cgroups {
		for _, pid := range readPids(file) {
			pids[pid] = true
		}
	}
	var found []int
	for pid := range pids {
		if pid != c.Pid() {
			found = append(found, pid)
		}
	}
	return found
}

// readPids gives none where there is no such cgroup any more.
func readPids(cgroupProcs string) []int {
	data, err := os.ReadFile(cgroupProcs)
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func commandOf(pid int) string {
	data, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
}
