package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTimeout is a thousand times what slirp4netns takes to start.
const startTimeout = 30 * time.Second

// slirp is a running slirp4netns that gets frames over a socket. It has no
// way into any namespace.
type slirp struct {
	cmd  *exec.Cmd
	life io.Closer // slirp4netns ends when the other end is closed
	conn net.Conn
	said strings.Builder
}

func startSlirp(ctx context.Context, program, dir string) (_ *slirp, err error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	s, ready, err := launch(program, folder)
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	if err := s.connect(ctx, ready, folder); err != nil {
		s.stop()
		return nil, fmt.Errorf("connecting to the network: slirp4netns: %w: %s", err, lastLines(s.said.String()))
	}
	return s, nil
}

// launch starts slirp4netns, which makes a socket in the folder and writes to
// ready when it has its connection.
func launch(program string, folder *os.File) (_ *slirp, ready *os.File, err error) {
	ready, readyW, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	lifeR, life, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, ready.Close(), readyW.Close())
	}
	s := &slirp{life: life}
	// The address of a socket has at most 107 bytes: it is given relative to
	// an open folder. The exit descriptor ends it, or, before it looks at that,
	// the death of this process. Its child, which would wait for ever, ends
	// with process 1 of their pid namespace.
	s.cmd = exec.Command(cmp.Or(program, "slirp4netns"), "--target-type=bess", fmt.Sprintf("--mtu=%d", mtu),
		"--disable-host-loopback", "--ready-fd=3", "--exit-fd=4", "/proc/self/fd/5/"+socketName)
	s.cmd.ExtraFiles = []*os.File{readyW, lifeR, folder}
	s.cmd.Env = []string{} // the settings in ours hold secrets
	s.cmd.Stderr = &s.said
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWPID}
	s.cmd.WaitDelay = time.Second
	started := make(chan error, 1)
	lasting() <- func() { started <- s.cmd.Start() }
	err = <-started
	readyW.Close()
	lifeR.Close()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("starting slirp4netns: %w", err), life.Close(), ready.Close())
	}
	return s, ready, nil
}

// lasting runs functions on a thread that ends with the process. The kernel
// sends a child its parent death signal when the thread that started it ends.
var lasting = sync.OnceValue(func() chan<- func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for fn := range queue {
			fn()
		}
	}()
	return queue
})

const socketName = "net"

// connect waits until slirp4netns listens, and then until it is ready.
func (s *slirp) connect(ctx context.Context, ready, folder *os.File) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	address := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), socketName)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if s.conn, err = net.Dial("unixpacket", address); err == nil {
			break
		}
		// It ended when nothing holds the other end of the pipe any more.
		if err := ready.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		if _, err := ready.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("it ended")
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := os.Remove(filepath.Join(folder.Name(), socketName)); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	if err := ready.SetReadDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		return err
	}
	return nil
}

// stop ends slirp4netns and waits for it.
func (s *slirp) stop() {
	if s == nil || s.cmd == nil {
		return
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.life.Close()
	late := time.AfterFunc(2*time.Second, func() { s.cmd.Process.Kill() })
	s.cmd.Wait()
	late.Stop()
	s.cmd = nil
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}
