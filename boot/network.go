package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"vauban/internal/gateway"
	"vauban/internal/thread"
)

// network is a network namespace for one machine and the server that it loads
// from. No other process of this machine can reach that server; the guest
// reaches neither the loopback of this machine nor, unless it is allowed, its
// other addresses. The namespace ends with what runs in it.
type network struct {
	work    chan func()
	gateway *gateway.Gateway
}

// openNetwork makes one. Dir is a directory that only root may enter.
func openNetwork(ctx context.Context, dir string, allow []gateway.Destination, log *slog.Logger) (_ *network, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a virtual machine needs root (it gets a network namespace of its own): run vauban with sudo")
	}
	n := &network{work: make(chan func())}
	ready := make(chan error)
	go thread.Own(func() {
		ready <- enterNew(dir)
		for fn := range n.work {
			fn()
		}
	})
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("making the network of the machine: %w", err)
	}
	rules, failed := gateway.Resolve(ctx, allow)
	for _, err := range failed {
		log.Info("an address that the machine may reach is not known", "error", err)
	}
	n.gateway, err = gateway.Open(ctx, gateway.Options{Interface: "eth0", Dir: dir, Allow: rules, Enter: n.do})
	return n, err
}

// close ends the thread. The namespace stays until its processes and sockets are
// gone.
func (n *network) close() {
	n.gateway.Close()
	close(n.work)
}

// do runs fn on a thread in the namespace, which lasts until close.
func (n *network) do(fn func() error) error {
	result := make(chan error, 1)
	n.work <- func() { result <- fn() }
	return <-result
}

// listen opens a port of the namespace's loopback, which QEMU's user network
// shows to the guest at [hostAddress].
func (n *network) listen(address string) (listener net.Listener, err error) {
	err = n.do(func() error {
		listener, err = net.Listen("tcp4", address)
		return err
	})
	return listener, err
}

// start starts a program in the namespace, which ends with this process.
func (n *network) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return n.do(cmd.Start)
}

// refused logs which addresses of this machine the guest did not reach.
func (n *network) refused(log *slog.Logger) {
	all, more := n.gateway.Refused()
	for _, r := range all {
		log.Warn("the machine was " + r.Explain(""))
	}
	if more > 0 {
		log.Warn(fmt.Sprintf("the machine was refused connections to %d more addresses", more))
	}
}

// enterNew gives this thread a network namespace, and the name server of a
// [gateway.Gateway], to which QEMU's user network passes on the guest's questions.
func enterNew(dir string) error {
	resolver := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(resolver, []byte("nameserver "+gateway.Nameserver.String()+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	const used = "/etc/resolv.conf"
	if _, err := os.Stat(used); errors.Is(err, os.ErrNotExist) {
		return nil // then names are not found on this machine either
	}
	if err := unix.Mount(resolver, used, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting over %s: %w", used, err)
	}
	return nil
}
