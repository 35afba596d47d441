package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
)

// The addresses inside, the same on every builder. They are those that
// slirp4netns gives out.
var (
	// Address is the namespace's own.
	Address = netip.AddrFrom4([4]byte{10, 0, 2, 100})
	// Router is its default route's.
	Router = netip.AddrFrom4([4]byte{10, 0, 2, 2})
	// Nameserver is where the builder's resolver answers.
	Nameserver = netip.AddrFrom4([4]byte{10, 0, 2, 3})

	subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 2, 0}), 24)
)

const (
	// mtu is the largest that slirp4netns takes: fewer frames are faster.
	mtu = 65520
	// maxFrame is an MTU and an Ethernet header, rounded up.
	maxFrame = 65536
)

// Options say how a namespace is connected.
type Options struct {
	// Program is slirp4netns. Empty: the one in PATH.
	Program string
	// Interface is the name of the network card inside.
	Interface string
	// Dir is a folder that only root may enter.
	Dir string
	// Allow lists addresses of the builder that may be reached.
	Allow []Rule
	// Enter runs a function on a thread in the namespace.
	Enter func(func() error) error
}

// Gateway is the connection of one network namespace.
type Gateway struct {
	filter *filter
	tap    *os.File
	slirp  *slirp
	work   sync.WaitGroup
}

// Open returns when the interface is configured and packets flow.
func Open(ctx context.Context, o Options) (_ *Gateway, err error) {
	builder, err := newBuilder()
	if err != nil {
		return nil, err
	}
	g := &Gateway{filter: newFilter(builder.has, o.Allow)}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	err = o.Enter(func() error {
		g.tap, err = openTap(o.Interface)
		return err
	})
	if err != nil {
		return nil, err
	}
	if g.slirp, err = startSlirp(ctx, o.Program, o.Dir); err != nil {
		return nil, err
	}
	g.work.Go(g.outwards)
	g.work.Go(g.inwards)
	return g, nil
}

// outwards passes on what the filter lets through.
func (g *Gateway) outwards() {
	frame := make([]byte, maxFrame)
	for {
		n, err := g.tap.Read(frame)
		if err != nil {
			return // closed, or the device is gone
		}
		pass, reply := g.filter.judge(frame[:n])
		if reply != nil {
			_, _ = g.tap.Write(reply) // fails while the interface is down
		}
		if pass == nil {
			continue
		}
		if _, err := g.slirp.conn.Write(pass); err != nil {
			return
		}
	}
}

func (g *Gateway) inwards() {
	frame := make([]byte, maxFrame)
	for {
		n, err := g.slirp.conn.Read(frame)
		if err != nil || n == 0 {
			return
		}
		if _, err := g.tap.Write(frame[:n]); errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// Refused lists what was refused so far, in the order of the first attempts,
// and how many more addresses there were.
func (g *Gateway) Refused() (list []Refusal, more int) { return g.filter.list() }

// Close ends the connection, and slirp4netns with it. It may be called again.
func (g *Gateway) Close() {
	if g == nil {
		return
	}
	if g.tap != nil {
		g.tap.Close()
	}
	g.slirp.stop()
	g.work.Wait()
}

// A Rule permits an address of the builder.
type Rule struct {
	Prefix netip.Prefix
	// Port is that of TCP and UDP. 0: all.
	Port uint16
}

// A Refusal is an address that was not reached.
type Refusal struct {
	Protocol string // "tcp", "udp" or "icmp"
	Address  netip.Addr
	Port     uint16 // 0 for icmp
	// Never is set for addresses that no rule permits.
	Never bool
}

func (r Refusal) String() string { return r.Protocol + " " + r.Destination() }

// Destination is the address as network_allow takes it.
func (r Refusal) Destination() string {
	if r.Port == 0 {
		return r.Address.String()
	}
	return net.JoinHostPort(r.Address.String(), fmt.Sprint(r.Port))
}

// Explain is what was refused and how to permit it, as the rest of a sentence
// about who was; on names several who were, such as " on 3 hosts".
func (r Refusal) Explain(on string) string {
	if r.Never {
		return fmt.Sprintf("refused%s a connection (%s) to %s, which is never permitted", on, r.Protocol, r.Destination())
	}
	return fmt.Sprintf("refused%s a connection (%s) to the builder's own address %s: to permit it, add to `configuration:` in config.yml: network_allow: [%q]",
		on, r.Protocol, r.Destination(), r.Destination())
}
