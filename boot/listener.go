package boot

import (
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// boundedListener accepts connections up to a number, in all and from one
// address, and ends those on which nothing is taken. Zero fields are the
// defaults.
type boundedListener struct {
	net.Listener
	total    int           // Default: 4096
	each     int           // from one address. Default: 256
	patience time.Duration // for each piece that is sent. Default: a minute
	log      *slog.Logger

	mu   sync.Mutex
	all  int
	from map[string]int
}

// Accept implements net.Listener. A connection beyond the bounds is closed.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := conn.RemoteAddr().String()
		if host, _, err := net.SplitHostPort(address); err == nil {
			address = host
		}
		if l.enter(address) {
			return &boundedConn{Conn: conn, patience: l.wait(), leave: sync.OnceFunc(func() { l.exit(address) })}, nil
		}
		l.log.Warn("refusing a connection: there are too many", "from", address)
		conn.Close()
	}
}

func (l *boundedListener) wait() time.Duration {
	if l.patience > 0 {
		return l.patience
	}
	return time.Minute
}

func (l *boundedListener) enter(address string) bool {
	total, each := l.total, l.each
	if total <= 0 {
		total = 4096
	}
	if each <= 0 {
		each = 256
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= total || l.from[address] >= each {
		return false
	}
	if l.from == nil {
		l.from = map[string]int{}
	}
	l.all++
	l.from[address]++
	return true
}

func (l *boundedListener) exit(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.from[address]--; l.from[address] == 0 {
		delete(l.from, address)
	}
}

// pieceSize is how much must be taken of a file in each patience: 256 KiB in a
// minute is slower than any machine boots.
const pieceSize = 256 << 10

// boundedConn is a connection whose other side takes what it asked for.
type boundedConn struct {
	net.Conn
	patience time.Duration
	leave    func()
}

// Write implements net.Conn.
func (c *boundedConn) Write(p []byte) (written int, err error) {
	for {
		piece := p[:min(len(p), pieceSize)]
		if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(piece)
		written += n
		if p = p[n:]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// ReadFrom implements io.ReaderFrom: the kernel sends files, in pieces.
func (c *boundedConn) ReadFrom(r io.Reader) (written int64, err error) {
	all, ok := r.(*io.LimitedReader)
	if !ok {
		all = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	for all.N > 0 {
		if err := c.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
			return written, err
		}
		piece := &io.LimitedReader{R: all.R, N: min(all.N, pieceSize)}
		n, err := io.Copy(c.Conn, piece)
		written, all.N = written+n, all.N-n
		if err != nil || n == 0 {
			return written, err
		}
	}
	return written, nil
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
