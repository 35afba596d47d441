package gateway

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
)

// maxRefusals bounds what is remembered of a namespace that tries everything.
const maxRefusals = 32

const (
	etherIPv4, etherARP = 0x0800, 0x0806

	etherSize, arpSize, ipSize = 14, 28, 20

	protocolICMP, protocolTCP, protocolUDP = 1, 6, 17

	icmpEcho = 8
)

// never are ranges that no rule permits: "this host" (which Linux takes for
// the loopback), the loopback, link-local addresses with the metadata services
// of clouds, multicast, and the reserved range with the broadcast address.
// The subnet of the namespace itself is handled before.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// isNever says whether no rule can permit an address.
func isNever(a netip.Addr) bool {
	return subnet.Contains(a) || slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(a) })
}

// filter decides about each frame on its own and keeps no connections. What it
// does not know, it drops.
type filter struct {
	builder func(netip.Addr) bool // whether an address is the builder's
	allow   []Rule

	mu      sync.Mutex
	refused []Refusal
	more    map[Refusal]bool
}

func newFilter(builder func(netip.Addr) bool, allow []Rule) *filter {
	return &filter{builder: builder, allow: allow, more: map[Refusal]bool{}}
}

// judge returns the part of a frame that may pass, nil for none, and the
// frame that answers it, nil for none.
func (f *filter) judge(frame []byte) (pass, reply []byte) {
	if len(frame) < etherSize {
		return nil, nil
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return checkARP(frame), nil
	case etherIPv4:
		p, ok := parse(frame)
		if !ok {
			return nil, nil
		}
		return f.judgePacket(p)
	}
	return nil, nil // IPv6, VLAN tags and everything else
}

// checkARP lets requests and answers for the namespace's own addresses pass.
func checkARP(frame []byte) []byte {
	if len(frame) < etherSize+arpSize {
		return nil
	}
	frame = frame[:etherSize+arpSize]
	arp := frame[etherSize:]
	// Ethernet, IPv4, their lengths, and a request or an answer.
	if string(arp[:7]) != "\x00\x01\x08\x00\x06\x04\x00" || arp[7] != 1 && arp[7] != 2 {
		return nil
	}
	sender := netip.AddrFrom4([4]byte(arp[14:18]))
	if string(arp[8:14]) != string(frame[6:12]) || !sender.IsUnspecified() && !isInside(sender) {
		return nil
	}
	return frame
}

// isInside says whether the namespace may have an address: the one it was
// given, or one that it gets by DHCP.
func isInside(a netip.Addr) bool {
	host := a.As4()[3]
	return subnet.Contains(a) && a != Router && a != Nameserver && host != 0 && host != 255
}

// packet is a whole IPv4 packet without options.
type packet struct {
	frame    []byte // without what follows the packet
	protocol byte
	from, to netip.Addr
	body     []byte // what follows the IPv4 header
}

// parse refuses what two readers might take differently: options, fragments,
// and lengths that do not fit.
func parse(frame []byte) (packet, bool) {
	ip := frame[etherSize:]
	if len(ip) < ipSize || ip[0] != 0x45 {
		return packet{}, false
	}
	total := int(binary.BigEndian.Uint16(ip[2:]))
	const fragment = 0x3fff // "more fragments", and the offset
	if total < ipSize || total > len(ip) || binary.BigEndian.Uint16(ip[6:])&fragment != 0 {
		return packet{}, false
	}
	ip = ip[:total]
	return packet{frame[:etherSize+total], ip[9],
		netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])), ip[ipSize:]}, true
}

// headerSize is the least that a protocol's packets have; 0 for one that
// slirp4netns does not know.
func headerSize(protocol byte) int {
	switch protocol {
	case protocolTCP:
		return 20
	case protocolUDP, protocolICMP:
		return 8
	}
	return 0
}

// ports of TCP and UDP; of others 0.
func (p packet) ports() (from, to uint16) {
	if p.protocol == protocolICMP {
		return 0, 0
	}
	return binary.BigEndian.Uint16(p.body), binary.BigEndian.Uint16(p.body[2:])
}

func (f *filter) judgePacket(p packet) (pass, reply []byte) {
	size := headerSize(p.protocol)
	if size == 0 || len(p.body) < size || p.protocol == protocolICMP && p.body[0] != icmpEcho {
		return nil, nil
	}
	if p.isDHCP() {
		return p.frame, nil
	}
	if !isInside(p.from) {
		return nil, nil // an answer would go to another
	}
	_, port := p.ports()
	switch {
	case subnet.Contains(p.to):
		if p.isService(port) {
			return p.frame, nil
		}
		return nil, p.refusal()
	case isNever(p.to):
		f.note(p, port, true)
		return nil, p.refusal()
	case f.isAllowed(p.to, port):
		return p.frame, nil
	case f.builder(p.to):
		f.note(p, port, false)
		return nil, p.refusal()
	}
	return p.frame, nil
}

// isService says whether a packet is for what slirp4netns itself answers, or
// for the builder's resolver.
func (p packet) isService(port uint16) bool {
	if p.protocol == protocolICMP {
		return p.to == Router || p.to == Nameserver
	}
	return p.to == Nameserver && port == 53
}

// isDHCP says whether a packet is for slirp4netns' own DHCP server.
func (p packet) isDHCP() bool {
	if p.protocol != protocolUDP || !p.from.IsUnspecified() && !isInside(p.from) {
		return false
	}
	from, to := p.ports()
	return from == 68 && to == 67 && (p.to == Router || p.to == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

func (f *filter) isAllowed(to netip.Addr, port uint16) bool {
	return slices.ContainsFunc(f.allow, func(r Rule) bool {
		return r.Prefix.Contains(to) && (r.Port == 0 || r.Port == port)
	})
}

// note remembers what was refused. What every machine sends to multicast and
// broadcast addresses is not worth a word.
func (f *filter) note(p packet, port uint16, isNever bool) {
	if p.to.Is4() && p.to.As4()[0] >= 224 {
		return
	}
	protocol := map[byte]string{protocolICMP: "icmp", protocolTCP: "tcp", protocolUDP: "udp"}[p.protocol]
	r := Refusal{Protocol: protocol, Address: p.to, Port: port, Never: isNever}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case slices.Contains(f.refused, r):
	case len(f.refused) < maxRefusals:
		f.refused = append(f.refused, r)
	case len(f.more) < 1000:
		f.more[r] = true
	}
}

func (f *filter) list() ([]Refusal, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.refused), len(f.more)
}
