package hostile

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// In runs fn on a thread whose root is the directory, as code of ours runs
// inside a container. It needs root.
func In(root string, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- inThread(root, fn) }()
	return <-done
}

// inThread locks its goroutine to a thread, which ends with it. The main
// thread never ends, and /proc/self shows it: that one is left as it is.
func inThread(root string, fn func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		err := In(root, fn)
		runtime.UnlockOSThread()
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Chroot(root); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	return fn()
}
