package thread

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Each function has a thread of its own, which is not the main one.
func TestOwn(t *testing.T) {
	threads := make(chan int)
	for range 20 {
		go Own(func() { threads <- unix.Gettid() })
	}
	for range 20 {
		if id := <-threads; id == unix.Getpid() {
			t.Error("a function ran on the main thread")
		}
	}
}
