package boot

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of connections in memory.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial connects from an address.
func (p *pipes) dial(from string) net.Conn {
	here, there := net.Pipe()
	p.accepted <- addressed{there, from}
	return here
}

type addressed struct {
	net.Conn
	from string
}

func (a addressed) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(a.from), Port: 1}
}

// endless is a file that has no end.
var endless = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return
		}
	}
})

// served runs a test against a server whose clock is the test's.
func served(t *testing.T, handler http.Handler, test func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPipes()
		done := make(chan error)
		go func() { done <- handle(ctx, p, handler, slog.New(slog.DiscardHandler)) }()
		test(t, p)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A connection ends when its other side is silent, before a request, in the
// middle of its header, after it, or instead of taking the answer.
func TestSilentClients(t *testing.T) {
	for name, test := range map[string]struct {
		send    string
		forever bool // send it again and again
		within  time.Duration
	}{
		"nothing":        {"", false, 10 * time.Second},
		"half a header":  {"GET / HTTP/1.1\r\nHost: x\r\n", false, 10 * time.Second},
		"endless header": {"X: y\r\n", true, 10 * time.Second},
		"takes nothing":  {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			served(t, endless, func(t *testing.T, p *pipes) {
				conn := p.dial("192.0.2.1")
				defer conn.Close()
				if test.forever {
					if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n"); err != nil {
						t.Fatal(err)
					}
				}
				conn.SetDeadline(time.Now().Add(test.within + time.Second))
				for sent := 0; ; sent++ {
					if _, err := io.WriteString(conn, test.send); err != nil {
						break
					}
					if !test.forever {
						break
					}
					time.Sleep(time.Second)
				}
				time.Sleep(test.within + time.Second)
				conn.SetDeadline(time.Now().Add(time.Second))
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the connection is open after %v", test.within)
				}
			})
		})
	}
}

// A slow download that gets on is not ended.
func TestSlowDownload(t *testing.T) {
	content := strings.Repeat("x", 10*pieceSize)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	})
	served(t, handler, func(t *testing.T, p *pipes) {
		conn := p.dial("192.0.2.1")
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got := int64(0)
		for {
			n, err := io.CopyN(io.Discard, conn, pieceSize/8)
			if got += n; err != nil {
				break
			}
			time.Sleep(5 * time.Second) // four times as fast as it must be
		}
		if got < int64(len(content)) {
			t.Errorf("%d bytes came of %d", got, len(content))
		}
	})
}

// Connections are bounded in all and for each address; one that ends makes room.
func TestTooManyClients(t *testing.T) {
	p := newPipes()
	l := &boundedListener{Listener: p, total: 5, each: 2, log: slog.New(slog.DiscardHandler)}
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	// open says whether a connection was accepted, rather than closed.
	open := func(from string) net.Conn {
		conn := p.dial(from)
		closed := make(chan struct{})
		go func() { conn.Read(make([]byte, 1)); close(closed) }()
		select {
		case served := <-accepted:
			return served
		case <-closed:
			return nil
		}
	}
	first := open("192.0.2.1")
	if first == nil || open("192.0.2.1") == nil || open("192.0.2.1") != nil {
		t.Error("want two connections from one address")
	}
	first.Close()
	if open("192.0.2.1") == nil {
		t.Error("a connection that ended makes no room")
	}
	for _, test := range []struct {
		from string
		ok   bool
	}{{"192.0.2.2", true}, {"192.0.2.3", true}, {"192.0.2.4", true}, {"192.0.2.5", false}} {
		if conn := open(test.from); (conn != nil) != test.ok {
			t.Errorf("from %s: %v, want %v", test.from, conn != nil, test.ok)
		}
	}
}
