package pipeline

import (
	"runtime"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/procfs"
)

const (
	// memoryOfTask is what a task may take besides its hosts: mksquashfs or
	// dracut in full swing, or ansible and what it runs.
	memoryOfTask = 512 << 20
	// memoryOfHost is a host's: ansible's worker for it, the module that runs
	// in its container, and what the container keeps in memory.
	memoryOfHost = 64 << 20
	// usualBatch is the number of hosts that are worth building at once:
	// more of them save little of ansible's start.
	usualBatch = 20
)

// capacity is what this machine, or the container that vauban runs in, has.
type capacity struct {
	cores  int
	memory uint64 // that is available, in bytes; 0: nobody knows
}

func ownCapacity() capacity {
	c := capacity{cores: runtime.GOMAXPROCS(0)} // no more than the container's
	if proc, err := procfs.NewDefaultFS(); err == nil {
		if info, err := proc.Meminfo(); err == nil && info.MemAvailableBytes != nil {
			c.memory = *info.MemAvailableBytes
		}
	}
	if limit, err := memlimit.FromCgroup(); err == nil && limit > 0 && (c.memory == 0 || limit < c.memory) {
		c.memory = limit
	}
	return c
}

// jobs is how many tasks run at once.
func (c capacity) jobs() int {
	return c.room(c.memory/memoryOfTask, c.cores)
}

// batch is how many hosts are built at once, in the half of the memory that
// other tasks leave.
func (c capacity) batch() int {
	return c.room(c.memory/2/memoryOfHost, usualBatch)
}

// room is how many there is memory for: at least one, at most most.
func (c capacity) room(fit uint64, most int) int {
	if c.memory == 0 {
		return most
	}
	return int(min(max(fit, 1), uint64(most)))
}
