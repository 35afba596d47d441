package hostile

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// In runs fn on a thread whose root is the directory, as code of ours runs
// inside a container. It needs root.
func In(root string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread ends with the goroutine. The main thread never does,
		// but no test runs on it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chroot(root)
		}
		if err == nil {
			err = unix.Chdir("/")
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}
