package layers

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"vauban/internal/gateway"
	"vauban/internal/thread"
)

// interfaceName is what a container's network card is called.
const interfaceName = "eth0"

// NetworkAddresses are those of a container's private network, the same on
// every builder: its own, its router's and its name server's.
func NetworkAddresses() []string {
	return []string{gateway.Address.String(), gateway.Router.String(), gateway.Nameserver.String()}
}

// A Destination is an address of the builder that containers may reach.
type Destination = gateway.Destination

// A Refusal is an address of the builder that a container tried to reach.
type Refusal = gateway.Refusal

// connection is what connects a container.
type connection struct {
	gateway *gateway.Gateway // nil: the builder's own network
	proxy   *loopbackProxy   // to apt's proxy on the builder's loopback; nil: none
}

// connect gives the container's own network namespace its way to the outside.
func (c *Container) connect(ctx context.Context) (err error) {
	if c.options.HostNetwork {
		return nil
	}
	c.net.gateway, err = gateway.Open(ctx, gateway.Options{
		Program: c.engine.tools.slirp, Interface: interfaceName, Dir: c.dir,
		Allow: c.engine.allowed(), Enter: c.inNetwork,
	})
	return err
}

// disconnect ends the network and reports what it refused. It may be called
// again.
func (c *Container) disconnect() {
	if c.net.gateway == nil {
		return
	}
	c.net.gateway.Close()
	refused, more := c.net.gateway.Refused()
	c.net.gateway = nil
	if c.options.Refused != nil {
		c.options.Refused(c.Name(), refused, more)
		return
	}
	for _, r := range refused {
		c.engine.log.Warn("a connection was refused", "container", c.Name(), "why", r)
	}
}

// resolve looks up the names among the destinations that are allowed.
func (e *Engine) resolve(all []Destination) []gateway.Rule {
	rules, failed := gateway.Resolve(context.Background(), all)
	for _, err := range failed {
		e.log.Info("an address that containers may reach is not known", "error", err)
	}
	return rules
}

// inNetwork runs fn in the container's network namespace.
func (c *Container) inNetwork(fn func() error) error {
	done := make(chan error, 1)
	go thread.Own(func() {
		if err := unix.Setns(int(c.init.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the network namespace: %w", err)
			return
		}
		done <- fn()
	})
	return <-done
}
