package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nameserver is where slirp4netns answers DNS, the same on every builder.
const nameserver = "10.0.2.3"

// interfaceName is what a container's network card is called.
const interfaceName = "eth0"

// NetworkAddresses are those of a container's private network, the same on
// every builder: its own, its router's and its name server's.
func NetworkAddresses() []string { return []string{"10.0.2.100", "10.0.2.2", nameserver} }

// network connects a container's own network namespace to the world through
// one slirp4netns process: no address of the builder is seen inside, and its
// loopback is not reachable. (slirp4netns itself would connect to 127.0.0.1:
// the container's kernel keeps such packets from it as long as nobody rewrites
// the local routing table or makes raw ones.)
type network struct {
	cmd  *exec.Cmd
	life io.Closer // slirp4netns ends when the other end is closed
}

// startNetwork returns when the interface is configured.
func startNetwork(ctx context.Context, slirp string, pid int) (_ *network, err error) {
	ready, readyW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	lifeR, life, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, readyW.Close())
	}
	var said strings.Builder
	// The exit descriptor rather than ctx or a parent death signal ends it:
	// it follows this process, not one of its threads.
	cmd := exec.Command(slirp, "--configure", "--mtu=65520", "--disable-host-loopback",
		"--ready-fd=3", "--exit-fd=4", strconv.Itoa(pid), interfaceName)
	cmd.ExtraFiles = []*os.File{readyW, lifeR}
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	err = cmd.Start()
	readyW.Close()
	lifeR.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting slirp4netns: %w", err), life.Close())
	}
	n := &network{cmd: cmd, life: life}
	stop := context.AfterFunc(ctx, func() { life.Close() })
	defer stop()
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		n.stop()
		return nil, fmt.Errorf("connecting the container to the network: slirp4netns: %s", lastLines(said.String(), 3))
	}
	return n, nil
}

// stop ends the connection and waits for the process.
func (n *network) stop() {
	if n == nil || n.cmd == nil {
		return
	}
	n.life.Close()
	done := time.AfterFunc(2*time.Second, func() { n.cmd.Process.Kill() })
	n.cmd.Wait()
	done.Stop()
	n.cmd = nil
}

// allowMulticast makes the interface one that programs multicast on, as they do
// on any network card; slirp4netns takes the flag away. keepalived, for one,
// finds its configuration wrong without.
func (c *Container) allowMulticast() error {
	return c.inNetwork(func() error {
		socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(socket)
		request, err := unix.NewIfreq(interfaceName)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request); err != nil {
			return fmt.Errorf("reading the flags of %q: %w", interfaceName, err)
		}
		request.SetUint16(request.Uint16() | unix.IFF_MULTICAST)
		if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
			return fmt.Errorf("setting the flags of %q: %w", interfaceName, err)
		}
		return nil
	})
}

// inNetwork runs fn in the container's network namespace.
func (c *Container) inNetwork(fn func() error) error {
	done := make(chan error, 1)
	go onThread(func() {
		if err := unix.Setns(int(c.init.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the network namespace: %w", err)
			return
		}
		done <- fn()
	})
	return <-done
}
