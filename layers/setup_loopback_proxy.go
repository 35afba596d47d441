package layers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"vauban/internal/thread"

	"golang.org/x/sys/unix"
)

// loopbackProxy gives a container's network one address of the builder's loopback:
// what connects to it inside is connected to that.
type loopbackProxy struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	work   sync.WaitGroup
}

// startLoopbackProxy listens on the loopback of the network that the process of
// pidfd has, at a free port.
func startLoopbackProxy(pidfd int, to string) (*loopbackProxy, error) {
	p := &loopbackProxy{to: to, open: map[net.Conn]bool{}}
	done := make(chan error, 1)
	// A socket stays in the network that it was made in.
	go thread.Own(func() {
		done <- func() (err error) {
			if err = unix.Setns(pidfd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("entering the container's network: %w", err)
			}
			p.listener, err = net.Listen("tcp4", "127.0.0.1:0")
			return err
		}()
	})
	if err := <-done; err != nil {
		return nil, err
	}
	p.work.Go(p.accept)
	return p, nil
}

// address is where the container connects to.
func (p *loopbackProxy) address() string { return p.listener.Addr().String() }

func (p *loopbackProxy) accept() {
	for {
		inside, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.connect(inside) })
	}
}

func (p *loopbackProxy) connect(inside net.Conn) {
	defer p.drop(inside)
	if !p.keep(inside) {
		return
	}
	outside, err := net.Dial("tcp", p.to)
	if err != nil {
		return // the connection is closed, as that of a proxy that is down
	}
	defer p.drop(outside)
	if !p.keep(outside) {
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
func (p *loopbackProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.open[c] = true
	}
	return !p.closed
}

func (p *loopbackProxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close()
}

// stop ends it and all its connections.
func (p *loopbackProxy) stop() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	p.closed = true
	errs := []error{p.listener.Close()}
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
	if errors.Is(errs[0], net.ErrClosed) {
		return nil
	}
	return errors.Join(errs...)
}
