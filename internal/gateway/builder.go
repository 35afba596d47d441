package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// refresh is how old the list of the builder's addresses may become: a lease
// or a bridge may add one during a build.
const refresh = 2 * time.Second

// builder knows the addresses of this machine.
type builder struct {
	mu   sync.Mutex
	read time.Time
	own  addresses
}

// addresses are single ones, of which there may be thousands, and ranges.
type addresses struct {
	single map[netip.Addr]bool
	ranges []netip.Prefix
}

func (a addresses) has(one netip.Addr) bool {
	return a.single[one] || slices.ContainsFunc(a.ranges, func(p netip.Prefix) bool { return p.Contains(one) })
}

func (a *addresses) add(p netip.Prefix) {
	if p.IsSingleIP() {
		a.single[p.Addr()] = true
	} else {
		a.ranges = append(a.ranges, p)
	}
}

func newBuilder() (*builder, error) {
	own, err := localAddresses()
	if err != nil {
		return nil, err
	}
	return &builder{read: time.Now(), own: own}, nil
}

// has says whether this machine answers at an address.
func (b *builder) has(a netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.read) > refresh {
		b.read = time.Now()
		if own, err := localAddresses(); err == nil {
			b.own = own
		}
	}
	return b.own.has(a)
}

// localAddresses are the IPv4 addresses that the kernel takes for this
// machine's own, and its broadcast addresses: the routes of these types, which
// know whole prefixes too. IPv6 never passes.
func localAddresses() (addresses, error) {
	own := addresses{single: map[netip.Addr]bool{}}
	table, err := syscall.NetlinkRIB(syscall.RTM_GETROUTE, syscall.AF_INET)
	if err != nil {
		return own, fmt.Errorf("reading the builder's addresses: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return own, fmt.Errorf("reading the builder's addresses: %w", err)
	}
	for _, m := range messages {
		// Source: rtnetlink(7), struct rtmsg.
		const destinationLength, routeType = 1, 7
		if m.Header.Type != syscall.RTM_NEWROUTE || len(m.Data) < syscall.SizeofRtMsg ||
			m.Data[routeType] != syscall.RTN_LOCAL && m.Data[routeType] != syscall.RTN_BROADCAST {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return own, fmt.Errorf("reading the builder's addresses: %w", err)
		}
		for _, a := range attributes {
			if a.Attr.Type == syscall.RTA_DST && len(a.Value) == 4 {
				own.add(netip.PrefixFrom(netip.AddrFrom4([4]byte(a.Value)), int(m.Data[destinationLength])))
			}
		}
	}
	return own, nil
}
