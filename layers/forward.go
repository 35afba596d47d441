package layers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// forward gives a container's network one address of the builder's loopback:
// what connects to it inside is connected to that.
type forward struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	work   sync.WaitGroup
}

// startForward listens on the loopback of the network that the process of
// pidfd has, at a free port.
func startForward(pidfd int, to string) (*forward, error) {
	f := &forward{to: to, open: map[net.Conn]bool{}}
	done := make(chan error, 1)
	// A socket stays in the network that it was made in.
	go onThread(func() {
		done <- func() (err error) {
			if err = unix.Setns(pidfd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("entering the container's network: %w", err)
			}
			f.listener, err = net.Listen("tcp4", "127.0.0.1:0")
			return err
		}()
	})
	if err := <-done; err != nil {
		return nil, err
	}
	f.work.Go(f.accept)
	return f, nil
}

// address is where the container connects to.
func (f *forward) address() string { return f.listener.Addr().String() }

func (f *forward) accept() {
	for {
		inside, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.work.Go(func() { f.connect(inside) })
	}
}

func (f *forward) connect(inside net.Conn) {
	defer f.drop(inside)
	if !f.keep(inside) {
		return
	}
	outside, err := net.Dial("tcp", f.to)
	if err != nil {
		return // the connection is closed, as that of a proxy that is down
	}
	defer f.drop(outside)
	if !f.keep(outside) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			// The other side learns that no more comes.
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
}

// keep notes a connection for stop; false: it is over.
func (f *forward) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.open[c] = true
	}
	return !f.closed
}

func (f *forward) drop(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, c)
	_ = c.Close()
}

// stop ends it and all its connections.
func (f *forward) stop() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	f.closed = true
	errs := []error{f.listener.Close()}
	for c := range f.open {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
	if errors.Is(errs[0], net.ErrClosed) {
		return nil
	}
	return errors.Join(errs...)
}
