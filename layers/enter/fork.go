package enter

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime's own preparations of a fork. Others use them like this, so that
// they stay: https://go.dev/issue/67401.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// fork starts the child. The library's own fork cannot do it: it knows
// neither setns(2) nor seccomp(2), and its signal of a parent's death takes a
// parent in another pid namespace for a dead one. After clone(2) the child has
// one thread and a copy of this memory, and may call nothing that grows the
// stack, allocates or locks: as syscall.forkAndExecInChild1, it makes raw
// system calls only.
//
//go:noinline
//go:norace
//go:nocheckptr
func fork(c *child) (pid int, errno syscall.Errno) {
	var (
		id     uintptr
		denied bool
		failed int
		report [2]uint32
	)
	beforeFork()
	id, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || id != 0 {
		afterFork()
		return int(id), errno
	}
	afterForkInChild()

	for i := range c.calls {
		one := &c.calls[i]
		_, _, errno = syscall.RawSyscall6(one.number, one.args[0], one.args[1], one.args[2], one.args[3], one.args[4], 0)
		if errno != 0 && !one.optional {
			failed = i
			goto report
		}
	}
	failed = len(c.calls)
	for _, file := range c.files {
		_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(file)),
			uintptr(unsafe.Pointer(&c.argv[0])), uintptr(unsafe.Pointer(&c.envp[0])))
		if errno == unix.ENOEXEC { // a script without #!
			c.shellArgv[1] = file
			_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(c.shell)),
				uintptr(unsafe.Pointer(&c.shellArgv[0])), uintptr(unsafe.Pointer(&c.envp[0])))
		}
		if errno == unix.EACCES {
			denied = true
		} else if errno != unix.ENOENT && errno != unix.ENOTDIR {
			break
		}
	}
	if denied && (errno == unix.ENOENT || errno == unix.ENOTDIR) {
		errno = unix.EACCES
	}
report:
	report[0], report[1] = uint32(failed), uint32(errno)
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(c.report), uintptr(unsafe.Pointer(&report)), reportSize)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, notEntered, 0, 0)
	}
}

// endBy ends this program by the signal that ended the command.
func endBy(signal syscall.Signal) int {
	// Go's runtime would handle it: the kernel is to. The fields of its
	// struct sigaction are zero for the default.
	var standard [4]uint64
	number := uintptr(signal)
	syscall.RawSyscall6(unix.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&standard)), 0, 8, 0, 0)
	_ = unix.Kill(unix.Getpid(), signal)
	return 128 + int(signal)
}
