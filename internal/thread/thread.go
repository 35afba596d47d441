// Package thread runs functions that change what belongs to a thread, such as its
// namespaces.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Own runs fn on a thread that ends with it, so that no other goroutine sees what
// fn did to it. The main thread never ends, and is what /proc/self shows: it is
// not used.
func Own(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		fn()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Own(fn)
	}()
	<-done
	runtime.UnlockOSThread()
}
