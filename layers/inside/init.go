package inside

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reap is process 1 of a build container. The kernel reaps for a process that
// ignores SIGCHLD. Nothing that is sent inside ends it, so that no step pulls
// the ground from under the others; the engine ends it with SIGKILL.
func reap(c *call) int {
	if os.Getpid() != 1 {
		return c.fail(notStarted, "vauban: this is process 1 of a container")
	}
	for signal := range lastSignal {
		// A process 1 gets no signal from inside that it has no handler for;
		// Go's runtime has one for nearly each.
		action := handler{}
		if unix.Signal(signal+1) == unix.SIGCHLD {
			action.function = ignore
		}
		setHandler(uintptr(signal+1), &action)
	}
	for {
		_ = unix.Pause()
	}
}

// lastSignal is the highest number of a signal.
const lastSignal = 64

// handler is the kernel's struct sigaction. It begins with the function on all
// architectures but MIPS; the rest is zero.
type handler struct {
	function uintptr
	rest     [4]uintptr
}

// ignore is SIG_IGN; SIG_DFL is zero.
const ignore = 1

// setHandler says what a signal does, see rt_sigaction(2). It fails for
// SIGKILL and SIGSTOP.
func setHandler(signal uintptr, action *handler) {
	const sizeOfMask = 8
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(action)), 0, sizeOfMask, 0, 0)
}
