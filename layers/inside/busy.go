package inside

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// busy ends well when a process lives in the container besides process 1 and
// those that ask: somebody then may still open a port.
func busy(c *call) int {
	asking := map[int]bool{1: true}
	for pid := os.Getpid(); pid > 1; pid = c.parent(pid) {
		asking[pid] = true
	}
	for _, pid := range c.processes() {
		if !asking[pid] && c.lives(pid) {
			return 0
		}
	}
	return 1
}

// processes are the numbers of those in the container.
func (c *call) processes() (pids []int) {
	entries, _ := c.root.ReadDir("/proc")
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (c *call) ofProcess(pid int, file string) string {
	return c.root.text(path.Join("/proc", strconv.Itoa(pid), file))
}

// lives says whether a process has not ended.
func (c *call) lives(pid int) bool { return c.ofProcess(pid, "status") != "" }

// parent returns who started a process: 0 for what entered the container, and
// for what has ended.
func (c *call) parent(pid int) int {
	for line := range strings.Lines(c.ofProcess(pid, "status")) {
		if value, found := strings.CutPrefix(line, "PPid:"); found {
			parent, _ := strconv.Atoi(strings.TrimSpace(value))
			return parent
		}
	}
	return 0
}
