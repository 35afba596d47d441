package layers

import (
	"context"
	"runtime"
	"unsafe"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	compiler "vauban/internal/seccomp"
)

// deniedToSystemd are refused inside a user namespace, where systemd needs
// most others: those that are about the machine itself, as in LXC's list.
var deniedToSystemd = []string{
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
	"open_by_handle_at", "swapon", "swapoff", "iopl", "ioperm", "perf_event_open", "acct",
}

// withSeccomp filters the system calls of process 1. Those that enter get the
// same filter.
func (o ContainerOptions) withSeccomp(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	if !hasSeccomp() {
		return nil
	}
	s.Linux.Seccomp = seccomp.DefaultProfile(s)
	if o.Systemd {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Architectures: s.Linux.Seccomp.Architectures,
			Syscalls: []specs.LinuxSyscall{{Names: deniedToSystemd, Action: specs.ActErrno}},
		}
	}
	return nil
}

// filterOf compiles the profile of a container, nil without one.
func filterOf(s *oci.Spec) ([]unix.SockFilter, error) {
	if s.Linux.Seccomp == nil {
		return nil, nil
	}
	return compiler.Compile(s.Linux.Seccomp)
}

// hasSeccomp says whether the kernel takes filters.
func hasSeccomp() bool {
	kind := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&kind)))
	runtime.KeepAlive(&kind)
	return errno == 0
}
