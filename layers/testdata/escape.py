"""Tries every way out of a container's network, each as `name: what happened`.

Arguments: the port of the builder's servers (TCP and UDP), the builder's own
address. Run as root of the container.
"""

import concurrent.futures
import fcntl
import os
import socket
import stat
import struct
import subprocess
import sys
import time

port, builder = int(sys.argv[1]), sys.argv[2]
own, router = '10.0.2.100', '10.0.2.2'
mac = bytes.fromhex(open('/sys/class/net/eth0/address').read().strip().replace(':', ''))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
raw.bind(('eth0', 0))
count = 0


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff


def tcp(source, target):
    global count
    count += 1
    header = struct.pack('!HHIIBBHHH', 20000 + count, port, 1, 0, 0x50, 2, 65535, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack('!BBH', 0, 6, len(header))
    return header[:16] + struct.pack('!H', checksum(pseudo + header)) + header[18:]


def udp(source, target):
    global count
    count += 1
    return struct.pack('!HHHH', 20000 + count, port, 12, 0) + b'data'


def ip(target, source=own, protocol=6, body=None, fragment=0, options=b''):
    if body is None:
        body = (tcp if protocol == 6 else udp)(source, target)
    size = 20 + len(options)
    header = struct.pack('!BBHHHBBH4s4s', 0x40 | size // 4, 0, size + len(body), 7, fragment, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(target)) + options
    return header[:10] + struct.pack('!H', checksum(header)) + header[12:] + body


def ipv6(target, source='fe80::2'):
    body = struct.pack('!HHIIBBHHH', 20000, port, 1, 0, 0x50, 2, 65535, 0, 0)
    address = lambda text: socket.inet_pton(socket.AF_INET6, text)
    return struct.pack('!IHBB', 6 << 28, len(body), 6, 64) + address(source) + address(target) + body


def ether(body, kind=0x0800, to=bytes.fromhex('52550a000202')):
    return to + mac + struct.pack('!H', kind) + body


def arp(operation, sender):
    return ether(struct.pack('!HHBBH', 1, 0x0800, 6, 4, operation) + mac + socket.inet_aton(sender)
                 + bytes(6) + socket.inet_aton(own), 0x0806)


def attempt(name, work):
    try:
        said = work()
    except OSError as error:
        said = error.strerror or str(error)
    sys.stdout.write(f'{name}: {said if said is not None else "sent"}\n')


def send(name, *frames):
    attempt(name, lambda: [raw.send(frame) for frame in frames] and None)


def connect(name, address, family=socket.AF_INET):
    def work():
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(20 if name == 'connecting to the builder' else 1)
            s.connect((address, port))
        return 'CONNECTED'
    attempt(name, work)


def connect_all(how, targets):
    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        for name, target in targets.items():
            pool.submit(connect, how + name, target)


def run(name, command):
    attempt(name, lambda: 'DONE' if subprocess.run(['sh', '-c', command], stdout=2, timeout=20).returncode == 0 else 'refused')


def attach():
    """Takes over the other end of the network card."""
    if not os.path.exists('/dev/net/tun'):
        os.makedirs('/dev/net', exist_ok=True)
        os.mknod('/dev/net/tun', 0o600 | stat.S_IFCHR, os.makedev(10, 200))
    tap = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH', b'eth0', 0x1002))
    return 'ATTACHED'


def every():
    targets = {
        'the loopback': '127.0.0.1', "the loopback's other addresses": '127.9.9.9', 'this host': '0.0.0.0',
        'metadata': '169.254.169.254', 'the builder': builder, 'the router': router, 'the resolver': '10.0.2.3',
        'broadcast': '255.255.255.255', "the subnet's broadcast": '10.0.2.255', 'multicast': '224.0.0.1',
    }
    connect_all('connecting to ', targets)
    for address in '::1', '::ffff:127.0.0.1', '::ffff:' + builder, 'fe80::1%eth0':
        connect('connecting to ' + address, address, socket.AF_INET6)
    for name, target in targets.items():
        send('raw TCP to ' + name, ether(ip(target)))
        send('raw UDP to ' + name, ether(ip(target, protocol=17)))
    for name, source in {'the loopback': '127.0.0.1', 'the builder': builder, 'the router': router, 'another': '203.0.113.5'}.items():
        for to in '127.0.0.1', builder:
            send(f'raw TCP to {to} from {name}', ether(ip(to, source)))
    for to in '127.0.0.1', builder:
        whole = ip(to)
        send(f'a VLAN tag, to {to}', ether(struct.pack('!HH', 1, 0x0800) + whole, 0x8100))
        send(f'a tag of priority, to {to}', ether(struct.pack('!HH', 0, 0x0800) + whole, 0x8100))
        send(f'two VLAN tags, to {to}', ether(struct.pack('!HHHH', 1, 0x8100, 1, 0x0800) + whole, 0x88a8))
        body = tcp(own, to)
        send(f'fragments, to {to}', ether(ip(to, body=body[:8], fragment=0x2000)), ether(ip(to, body=body[8:], fragment=1)))
        send(f'fragments in reverse, to {to}', ether(ip(to, body=body[8:], fragment=1)), ether(ip(to, body=body[:8], fragment=0x2000)))
        send(f'a loose source route, to {to}', ether(ip('203.0.113.5', options=b'\x83\x07\x04' + socket.inet_aton(to) + b'\x00')))
        send(f'IPv4 in IPv4, to {to}', ether(ip('203.0.113.5', protocol=4, body=whole)))
        send(f'an odd length, to {to}', ether(whole + bytes(30)))
        send(f'to every machine of the network, to {to}', ether(whole, to=b'\xff' * 6))
        send(f'IPv4 as IPv6, to {to}', ether(whole, 0x86dd))
    for to in '::1', 'fe80::1', 'fe80::2', '::ffff:127.0.0.1', 'ff02::1', 'fd00::2':
        send('IPv6 to ' + to, ether(ipv6(to), 0x86dd))
    send('NC-SI', ether(bytes(60), 0x88f8))
    for address in '127.0.0.1', router, builder:
        send(f'ARP as {address}, then a packet to the builder', arp(2, address), arp(1, address), ether(ip(builder, address)))
    attempt("the card's other end", attach)
    run('a device beside the card', 'ip link add link-netnsid 0 link if2 name beside type macvlan mode bridge || ip link add link eth0 name beside link-netnsid 0 type veth')
    # Last: what is left of the network afterwards is of no use.
    run('no firewall', 'nft flush ruleset 2>/dev/null; iptables -F; iptables -t nat -F')
    connect('the builder without a firewall', builder)
    run('routes of its own', 'ip route del local 127.0.0.0/8 table local; ip route del local 127.0.0.1 table local; ip addr flush dev lo; ip route add 127.0.0.0/8 via 10.0.2.2 dev eth0 src 10.0.2.100; ip route add 169.254.0.0/16 via 10.0.2.2')
    connect_all('with these routes to ', targets)
    run('an address of the builder', f'ip addr add {builder}/32 dev eth0; ip addr add 127.0.0.1/8 dev eth0; ip route flush table local')
    connect_all('with that address to ', targets)


every()
time.sleep(0.5)  # what was sent is with the filter by then
