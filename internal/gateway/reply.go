package gateway

import "encoding/binary"

// flags of TCP.
const (
	tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16
)

// refusal is the frame that makes a program inside fail at once: a reset for
// TCP, "port unreachable" for UDP; nil where none is due.
func (p packet) refusal() []byte {
	if p.to.As4()[0] >= 224 || p.to.IsUnspecified() {
		return nil // multicast and broadcast are never answered
	}
	switch {
	case p.protocol == protocolTCP && p.body[13]&tcpRST == 0:
		return p.answer(protocolTCP, p.reset())
	case p.protocol == protocolUDP || p.protocol == protocolICMP:
		return p.answer(protocolICMP, p.unreachable())
	}
	return nil
}

// reset is the TCP header that refuses a connection.
// Source: RFC 9293, section 3.10.7.1.
func (p packet) reset() []byte {
	tcp := make([]byte, 20)
	copy(tcp[0:2], p.body[2:4])
	copy(tcp[2:4], p.body[0:2])
	tcp[12] = 5 << 4
	flags := p.body[13]
	if flags&tcpACK != 0 {
		copy(tcp[4:8], p.body[8:12])
		tcp[13] = tcpRST
	} else {
		header := min(int(p.body[12]>>4)*4, len(p.body))
		next := binary.BigEndian.Uint32(p.body[4:]) + uint32(len(p.body)-header)
		for _, flag := range []byte{tcpSYN, tcpFIN} {
			if flags&flag != 0 {
				next++
			}
		}
		binary.BigEndian.PutUint32(tcp[8:], next)
		tcp[13] = tcpRST | tcpACK
	}
	pseudo := make([]byte, 0, 12)
	to, from := p.to.As4(), p.from.As4()
	pseudo = append(append(pseudo, to[:]...), from[:]...)
	pseudo = append(pseudo, 0, protocolTCP, 0, byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo, tcp))
	return tcp
}

// unreachable is the ICMP message of a port that is not open.
// Source: RFC 792.
func (p packet) unreachable() []byte {
	icmp := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, p.frame[etherSize:etherSize+ipSize+8]...)
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	return icmp
}

// answer is a frame back to the sender, as if from whom it wanted to reach.
func (p packet) answer(protocol byte, body []byte) []byte {
	frame := make([]byte, etherSize+ipSize, etherSize+ipSize+len(body))
	copy(frame[0:6], p.frame[6:12])
	copy(frame[6:12], "\x52\x55\x0a\x00\x02\x02") // as slirp4netns' router
	binary.BigEndian.PutUint16(frame[12:], etherIPv4)
	ip := frame[etherSize:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(ipSize+len(body)))
	to, from := p.to.As4(), p.from.As4()
	copy(ip[12:16], to[:])
	copy(ip[16:20], from[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:ipSize]))
	return append(frame, body...)
}

// checksum is that of RFC 1071 over parts of an even length.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, part := range parts {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
