package gateway

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

var ownMAC = []byte{2, 0, 0, 0, 0, 1}

// ether is a frame of the namespace.
func ether(kind uint16, body []byte) []byte {
	frame := append([]byte{0x52, 0x55, 10, 0, 2, 2}, ownMAC...)
	return append(binary.BigEndian.AppendUint16(frame, kind), body...)
}

// ip is a frame with an IPv4 packet.
func ip(protocol byte, from, to string, body []byte) []byte {
	header := make([]byte, ipSize)
	header[0], header[8], header[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(header[2:], uint16(ipSize+len(body)))
	copy(header[12:], netip.MustParseAddr(from).AsSlice())
	copy(header[16:], netip.MustParseAddr(to).AsSlice())
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return ether(etherIPv4, append(header, body...))
}

func tcp(to string, port uint16) []byte { return tcpFrom("10.0.2.100", to, port) }

func tcpFrom(from, to string, port uint16) []byte {
	header := make([]byte, 20)
	binary.BigEndian.PutUint16(header[0:], 40000)
	binary.BigEndian.PutUint16(header[2:], port)
	binary.BigEndian.PutUint32(header[4:], 1000)
	header[12], header[13] = 5<<4, tcpSYN
	return ip(protocolTCP, from, to, header)
}

func udp(from, to string, source, port uint16) []byte {
	header := make([]byte, 8, 12)
	binary.BigEndian.PutUint16(header[0:], source)
	binary.BigEndian.PutUint16(header[2:], port)
	binary.BigEndian.PutUint16(header[4:], 12)
	return ip(protocolUDP, from, to, append(header, "data"...))
}

func ping(to string) []byte {
	return ip(protocolICMP, "10.0.2.100", to, []byte{icmpEcho, 0, 0, 0, 0, 1, 0, 1})
}

func arp(operation byte, mac []byte, sender, target string) []byte {
	body := append([]byte{0, 1, 8, 0, 6, 4, 0, operation}, mac...)
	body = append(body, netip.MustParseAddr(sender).AsSlice()...)
	body = append(body, make([]byte, 6)...)
	return ether(etherARP, append(body, netip.MustParseAddr(target).AsSlice()...))
}

// edit changes a frame behind its Ethernet header.
func edit(frame []byte, at int, value ...byte) []byte {
	copy(frame[etherSize+at:], value)
	return frame
}

// testFilter is of a builder with the addresses 192.0.2.2 and 192.0.2.3, of
// which a port of the first one and all of 198.51.100.0/24 may be reached.
func testFilter() *filter {
	own := map[string]bool{"192.0.2.2": true, "192.0.2.3": true, "198.51.100.1": true}
	return newFilter(func(a netip.Addr) bool { return own[a.String()] }, []Rule{
		{netip.MustParsePrefix("192.0.2.2/32"), 3142}, {netip.MustParsePrefix("198.51.100.0/24"), 0},
		// What no rule can permit.
		{netip.MustParsePrefix("127.0.0.0/8"), 0}, {netip.MustParsePrefix("169.254.0.0/16"), 0},
	})
}

func TestPasses(t *testing.T) {
	for name, frame := range map[string][]byte{
		"another machine":          tcp("203.0.113.9", 443),
		"another machine by UDP":   udp("10.0.2.100", "203.0.113.9", 4000, 123),
		"another machine by ping":  ping("203.0.113.9"),
		"a leased address":         tcpFrom("10.0.2.15", "203.0.113.9", 443),
		"names":                    udp("10.0.2.100", "10.0.2.3", 4000, 53),
		"names by TCP":             tcp("10.0.2.3", 53),
		"the router by ping":       ping("10.0.2.2"),
		"an allowed port":          tcp("192.0.2.2", 3142),
		"an allowed port by UDP":   udp("10.0.2.100", "192.0.2.2", 4000, 3142),
		"an allowed range":         tcp("198.51.100.1", 9),
		"a request for a lease":    udp("0.0.0.0", "255.255.255.255", 68, 67),
		"a lease that is extended": udp("10.0.2.15", "10.0.2.2", 68, 67),
		"a question for hardware":  arp(1, ownMAC, "10.0.2.100", "10.0.2.2"),
		"an answer":                arp(2, ownMAC, "10.0.2.100", "10.0.2.2"),
		"a probe":                  arp(1, ownMAC, "0.0.0.0", "10.0.2.100"),
	} {
		if pass, reply := testFilter().judge(frame); string(pass) != string(frame) || reply != nil {
			t.Errorf("%s: passes %x and is answered by %x", name, pass, reply)
		}
		if pass, _ := testFilter().judge(append(frame, "padding"...)); string(pass) != string(frame) {
			t.Errorf("%s: what follows the packet passes: %x", name, pass)
		}
	}
}

// attacks are frames that never pass, and whether a refusal answers each.
var attacks = map[string]struct {
	frame   []byte
	refused bool
}{
	"the loopback":                    {tcp("127.0.0.1", 80), true},
	"the loopback by UDP":             {udp("10.0.2.100", "127.0.0.1", 4000, 53), true},
	"the loopback by ping":            {ping("127.0.0.1"), true},
	"the loopback's other addresses":  {tcp("127.255.0.9", 80), true},
	"this host":                       {tcp("0.0.0.0", 80), false},
	"this network":                    {tcp("0.1.2.3", 80), true},
	"metadata":                        {tcp("169.254.169.254", 80), true},
	"link-local":                      {udp("10.0.2.100", "169.254.1.1", 4000, 80), true},
	"multicast":                       {udp("10.0.2.100", "224.0.0.251", 5353, 5353), false},
	"broadcast":                       {udp("10.0.2.100", "255.255.255.255", 4000, 9), false},
	"broadcast by TCP":                {tcp("255.255.255.255", 80), false},
	"the subnet's broadcast":          {udp("10.0.2.100", "10.0.2.255", 4000, 9), true},
	"the reserved range":              {tcp("240.0.0.1", 80), false},
	"the router's ports":              {tcp("10.0.2.2", 80), true},
	"the router by UDP":               {udp("10.0.2.100", "10.0.2.2", 4000, 53), true},
	"TFTP of the router":              {udp("10.0.2.100", "10.0.2.2", 4000, 69), true},
	"other ports of the resolver":     {tcp("10.0.2.3", 80), true},
	"other addresses of the subnet":   {tcp("10.0.2.4", 80), true},
	"the builder":                     {tcp("192.0.2.2", 22), true},
	"the builder by UDP":              {udp("10.0.2.100", "192.0.2.2", 4000, 53), true},
	"the builder by ping":             {ping("192.0.2.2"), true},
	"the builder's second address":    {tcp("192.0.2.3", 3142), true},
	"the builder from a false sender": {tcpFrom("192.0.2.2", "192.0.2.2", 22), false},
	"the loopback from the loopback":  {tcpFrom("127.0.0.1", "127.0.0.1", 22), false},
	"a false sender":                  {tcpFrom("203.0.113.1", "203.0.113.9", 443), false},
	"the router as sender":            {tcpFrom("10.0.2.2", "203.0.113.9", 443), false},
	"the resolver as sender":          {udp("10.0.2.3", "203.0.113.9", 53, 443), false},
	"no sender":                       {tcpFrom("0.0.0.0", "203.0.113.9", 443), false},
	"a lease for a false sender":      {udp("192.0.2.2", "255.255.255.255", 68, 67), false},
	"a lease from elsewhere":          {udp("10.0.2.100", "192.0.2.2", 68, 67), true},
	"a first fragment":                {edit(tcp("203.0.113.9", 80), 6, 0x20), false},
	"a later fragment":                {edit(tcp("192.0.2.2", 3142), 6, 0x00, 0x01), false},
	"a fragment to the loopback":      {edit(tcp("127.0.0.1", 80), 6, 0x20), false},
	"a source route":                  {edit(tcp("203.0.113.9", 80), 0, 0x46), false},
	"a header that is too short":      {edit(tcp("203.0.113.9", 80), 0, 0x44), false},
	"another version":                 {edit(tcp("203.0.113.9", 80), 0, 0x65), false},
	"a length beyond the frame":       {edit(tcp("203.0.113.9", 80), 2, 0x01, 0x00), false},
	"a length below the header":       {edit(tcp("203.0.113.9", 80), 2, 0x00, 0x13), false},
	"a TCP header cut off":            {edit(tcp("203.0.113.9", 80), 2, 0x00, 0x20), false},
	"an unknown protocol":             {ip(47, "10.0.2.100", "203.0.113.9", make([]byte, 40)), false},
	"IPv4 in IPv4":                    {ip(4, "10.0.2.100", "203.0.113.9", tcp("127.0.0.1", 80)[etherSize:]), false},
	"IPv6 in IPv4":                    {ip(41, "10.0.2.100", "203.0.113.9", make([]byte, 60)), false},
	"a redirect":                      {ip(protocolICMP, "10.0.2.100", "203.0.113.9", []byte{5, 0, 0, 0, 0, 0, 0, 0}), false},
	"IPv6 to ::1":                     {ether(0x86dd, ipv6("::1")), false},
	"IPv6 link-local":                 {ether(0x86dd, ipv6("fe80::1")), false},
	"IPv6 with an IPv4 address in it": {ether(0x86dd, ipv6("::ffff:127.0.0.1")), false},
	"IPv4 as if it was IPv6":          {ether(0x86dd, tcp("127.0.0.1", 80)[etherSize:]), false},
	"a VLAN tag":                      {ether(0x8100, append([]byte{0, 1, 8, 0}, tcp("127.0.0.1", 80)[etherSize:]...)), false},
	"two VLAN tags":                   {ether(0x88a8, append([]byte{0, 1, 0x81, 0, 0, 1, 8, 0}, tcp("127.0.0.1", 80)[etherSize:]...)), false},
	"802.3 and SNAP":                  {ether(48, append([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, tcp("127.0.0.1", 80)[etherSize:]...)), false},
	"NC-SI, which libslirp answers":   {ether(0x88f8, make([]byte, 60)), false},
	"PPPoE":                           {ether(0x8864, make([]byte, 60)), false},
	"an ARP answer for the router":    {arp(2, ownMAC, "10.0.2.2", "10.0.2.100"), false},
	"an ARP answer for the loopback":  {arp(2, ownMAC, "127.0.0.1", "10.0.2.2"), false},
	"ARP with another's hardware":     {arp(2, []byte{2, 0, 0, 0, 0, 9}, "10.0.2.100", "10.0.2.2"), false},
	"reverse ARP":                     {arp(3, ownMAC, "10.0.2.100", "10.0.2.2"), false},
	"ARP cut off":                     {arp(1, ownMAC, "10.0.2.100", "10.0.2.2")[:30], false},
	"a frame cut off":                 {tcp("203.0.113.9", 80)[:20], false},
	"no header at all":                {[]byte{1, 2, 3}, false},
	"nothing":                         {nil, false},
}

func ipv6(to string) []byte {
	packet := make([]byte, 60)
	packet[0], packet[5], packet[6] = 0x60, 20, protocolTCP
	copy(packet[8:], netip.MustParseAddr("fe80::2").AsSlice())
	copy(packet[24:], netip.MustParseAddr(to).AsSlice())
	return packet
}

func TestAttacks(t *testing.T) {
	held := 0
	for name, attack := range attacks {
		pass, reply := testFilter().judge(attack.frame)
		if pass != nil {
			t.Errorf("%s: passes as %x", name, pass)
			continue
		}
		held++
		if (reply != nil) != attack.refused {
			t.Errorf("%s: answered by %x, want an answer: %v", name, reply, attack.refused)
		}
	}
	t.Logf("network escapes tried %d, held %d", len(attacks), held)
}

func TestRefusalAnswers(t *testing.T) {
	_, reply := testFilter().judge(tcp("192.0.2.2", 22))
	p, ok := parse(reply)
	if !ok || p.protocol != protocolTCP || p.from.String() != "192.0.2.2" || p.to.String() != "10.0.2.100" {
		t.Fatalf("the answer is %x", reply)
	}
	if from, to := p.ports(); from != 22 || to != 40000 || p.body[13] != tcpRST|tcpACK || binary.BigEndian.Uint32(p.body[8:]) != 1001 {
		t.Errorf("the reset is %x", p.body)
	}
	if string(reply[:6]) != string(ownMAC) || checksum(reply[etherSize:etherSize+ipSize]) != 0 {
		t.Errorf("the frame around the reset is %x", reply[:etherSize+ipSize])
	}
	pseudo := append(append([]byte{}, reply[etherSize+12:etherSize+20]...), 0, protocolTCP, 0, 20)
	if sum := checksum(pseudo, p.body); sum != 0 {
		t.Errorf("the reset's checksum is off by %x", sum)
	}
	question := udp("10.0.2.100", "192.0.2.2", 4000, 53)
	_, reply = testFilter().judge(question)
	p, ok = parse(reply)
	if !ok || p.protocol != protocolICMP || p.body[0] != 3 || p.body[1] != 3 || checksum(p.body) != 0 ||
		string(p.body[8:]) != string(question[etherSize:etherSize+28]) {
		t.Errorf("the answer to UDP is %x", reply)
	}
	reset := tcp("192.0.2.2", 22)
	reset[etherSize+ipSize+13] = tcpRST
	if _, reply := testFilter().judge(reset); reply != nil {
		t.Errorf("a reset is answered by %x", reply)
	}
}

func TestRefusedAreListed(t *testing.T) {
	f := testFilter()
	for _, frame := range [][]byte{
		tcp("192.0.2.2", 22), tcp("192.0.2.2", 22), udp("10.0.2.100", "192.0.2.3", 9, 53), ping("192.0.2.3"),
		tcp("169.254.169.254", 80), udp("10.0.2.100", "224.0.0.251", 5353, 5353), tcp("203.0.113.9", 80), tcp("10.0.2.2", 9),
	} {
		f.judge(frame)
	}
	list, more := f.list()
	var got []string
	for _, r := range list {
		word := r.String()
		if r.Never {
			word += " never"
		}
		got = append(got, word)
	}
	want := []string{"tcp 192.0.2.2:22", "udp 192.0.2.3:53", "icmp 192.0.2.3", "tcp 169.254.169.254:80 never"}
	if len(got) != len(want) || more != 0 {
		t.Fatalf("listed are %q and %d more, want %q", got, more, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("listed are %q, want %q", got, want)
		}
	}
	for port := range 5000 {
		f.judge(tcp("192.0.2.2", uint16(port+10000)))
	}
	if list, more := f.list(); len(list) != maxRefusals || more != 1000 {
		t.Errorf("a scan leaves %d and %d more", len(list), more)
	}
}

// Whatever passes is whole, from inside, and for no address that is refused.
func FuzzJudge(f *testing.F) {
	for _, attack := range attacks {
		f.Add(attack.frame)
	}
	f.Add(tcp("203.0.113.9", 443))
	f.Add(udp("10.0.2.100", "10.0.2.3", 4000, 53))
	f.Fuzz(func(t *testing.T, frame []byte) {
		pass, reply := testFilter().judge(frame)
		if reply != nil {
			if p, ok := parse(reply); !ok || string(reply[:6]) != string(frame[6:12]) || p.protocol == protocolUDP {
				t.Errorf("the answer is %x", reply)
			}
		}
		if pass == nil || binary.BigEndian.Uint16(pass[12:]) == etherARP && len(pass) == etherSize+arpSize {
			return
		}
		p, ok := parse(pass)
		if !ok || len(p.frame) != len(pass) {
			t.Fatalf("passes, and is not one packet: %x", pass)
		}
		_, port := p.ports()
		switch {
		case p.to == Nameserver && (port == 53 || p.protocol == protocolICMP), p.to == Router && (port == 67 || p.protocol == protocolICMP):
		case p.to.String() == "255.255.255.255" && port == 67, p.to.String() == "192.0.2.2" && port == 3142:
		case isNever(p.to) || p.to.String() == "192.0.2.2" || p.to.String() == "192.0.2.3":
			t.Errorf("passes to %s port %d: %x", p.to, port, pass)
		}
	})
}
