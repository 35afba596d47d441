package layers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/docker/go-units"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vauban/layers/diff"
)

// Limits are what a container may take of the builder, and what its layer may
// hold.
type Limits struct {
	// Processes and threads. 0: 8192.
	Processes int64
	// Memory in bytes, files of /tmp and /run among it. 0: half of what the
	// builder has, which is what the hosts of a batch have together.
	Memory int64
	// OpenFiles of one process. 0: 65536.
	OpenFiles int64
	// FileSize is how many bytes one file of a layer may have, holes included.
	// 0: 16 GiB.
	FileSize int64
	// LayerSize is how many bytes the files of a layer may have, holes
	// included. 0: 64 GiB.
	LayerSize int64
}

func (l Limits) orDefault() Limits {
	return Limits{
		Processes: cmp.Or(l.Processes, 8192),
		Memory:    cmp.Or(l.Memory, builderMemory()/2),
		OpenFiles: cmp.Or(l.OpenFiles, 65536),
		FileSize:  cmp.Or(l.FileSize, 16<<30),
		LayerSize: cmp.Or(l.LayerSize, maxUnpacked),
	}
}

// builderMemory is what this machine has, or the container that vauban runs
// in. 0: unknown.
func builderMemory() int64 {
	var memory int64
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		memory = int64(info.Totalram) * int64(info.Unit)
	}
	if limit, err := memlimit.FromCgroup(); err == nil && limit > 0 && limit < uint64(memory) {
		memory = int64(limit)
	}
	return memory
}

// spec has runc set the limits on the container's cgroup, where what enters
// is a member. That of open files is set by what enters: a runc that may not
// raise its own would refuse.
func (l Limits) spec(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &l.Processes}
	if l.Memory > 0 {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &l.Memory}
	}
	return nil
}

// checkSizes refuses an upperdir whose files are too large for a layer, before
// any of it is read: hashing and compressing zeros takes minutes.
func (l Limits) checkSizes(ctx context.Context, upper string) error {
	err := diff.CheckSizes(ctx, upper, diff.SizeLimits{File: l.FileSize, Layer: l.LayerSize})
	var large *diff.SizeError
	if !errors.As(err, &large) {
		return err
	}
	file := fmt.Sprintf("%q of %s (%s on disk)", large.Path, size(large.Size), size(large.OnDisk))
	if large.Total > 0 {
		return fmt.Errorf("the layer would hold %s, with the holes of sparse files written as zeros; its largest file is %s: "+
			"remove or truncate files at the end of the stage, or raise LAYER_MAX_SIZE (%s)", size(large.Total), file, size(l.LayerSize))
	}
	return fmt.Errorf("the layer would hold %s, with the holes of sparse files written as zeros: "+
		"remove or truncate the file at the end of the stage, or raise LAYER_MAX_FILE_SIZE (%s)", file, size(l.FileSize))
}

func size(bytes int64) string { return units.BytesSize(float64(bytes)) }

// limitError says which limits the container came to, nil for none. It is read
// while the container is there.
func (c *Container) limitError() error {
	limits := c.engine.limits
	var reached []string
	if c.counted("memory.events", "oom_kill ") || c.counted("memory.oom_control", "oom_kill ") {
		reached = append(reached, fmt.Sprintf("%s of memory, and the kernel killed a process: raise CONTAINER_MEMORY", units.BytesSize(float64(limits.Memory))))
	}
	if c.counted("pids.events", "max ") {
		reached = append(reached, fmt.Sprintf("%d processes and threads: raise CONTAINER_PROCESSES", limits.Processes))
	}
	if len(reached) == 0 {
		return nil
	}
	return fmt.Errorf("the container of %q reached its limit of %s", c.Name(), strings.Join(reached, "; and of "))
}

// counted says whether a file of one of the container's cgroups counts more
// than none of an event.
func (c *Container) counted(file, event string) bool {
	for _, procs := range c.cgroups {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(procs), file))
		if err != nil {
			continue // of another cgroup, or version
		}
		for line := range strings.Lines(string(data)) {
			text, ok := strings.CutPrefix(line, event)
			if n, err := strconv.Atoi(strings.TrimSpace(text)); ok && err == nil && n > 0 {
				return true
			}
		}
	}
	return false
}
