//go:build integration

package layers_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/layers"
)

// A private network is the same on every builder, and reaches the world.
func TestPrivateNetwork(t *testing.T) {
	e, base := shared.use(t)
	live(t, e, target("private01", base), func(c *layers.Container) {
		for script, want := range map[string]string{
			`cat /etc/resolv.conf`:                           "nameserver 10.0.2.3",
			`ip -4 -o addr show eth0 | awk '{print $4}'`:     "10.0.2.100/24",
			`ip route show default | awk '{print $3, $5}'`:   "10.0.2.2 eth0",
			`ip -o link show eth0 | grep -o MULTICAST`:       "MULTICAST",
			`ip -4 -o addr show lo | awk '{print $4}'`:       "127.0.0.1/8",
			`ls /sys/class/net | sort | tr '\n' ' ' | xargs`: "eth0 lo",
			`hostname; getent hosts private01 | xargs`:       "private01\n127.0.1.1 private01",
		} {
			if said := mustSh(t, c, script); said != want {
				t.Errorf("%s: %q, want %q", script, said, want)
			}
		}
		// The mirror of the base is one name that resolves here.
		mustSh(t, c, `getent ahostsv4 "$(sed -n 's|^deb .*//\([^/:]*\).*|\1|p' /etc/apt/sources.list | head -1)"`)
	})
}

// Each container has ports of its own.
func TestContainersListenOnTheSamePort(t *testing.T) {
	e, base := shared.use(t)
	const serve = script(`python3 -m http.server --bind 0.0.0.0 5432 >/dev/null 2>&1 &
		until ss -ltn | grep -q :5432; do sleep 0.05; done`)
	for _, r := range apply(t, e, serve, target("db01", base), target("db02", base), target("db03", base)) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
}

// The builder's network is lent without the right to change it.
func TestHostNetwork(t *testing.T) {
	e, base := shared.use(t)
	builders, forwards := readFile(t, "/etc/resolv.conf"), readFile(t, "/proc/sys/net/ipv4/ip_forward")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	to := target("host01", base)
	to.HostNetwork = true
	live(t, e, to, func(c *layers.Container) {
		if got := mustSh(t, c, `cat /etc/resolv.conf; echo end`); got != strings.TrimSpace(builders+"end") {
			t.Errorf("resolv.conf is %q, want the builder's %q", got, builders)
		}
		ours, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		if theirs := mustSh(t, c, `readlink /proc/self/ns/net`); theirs != ours {
			t.Errorf("the network namespace is %s, want the builder's %s", theirs, ours)
		}
		mustSh(t, c, fmt.Sprintf(`python3 -c 'import socket; socket.create_connection(("127.0.0.1", %d), 3)'`, listener.Addr().(*net.TCPAddr).Port))
		var bits uint64
		for _, field := range strings.Fields(mustSh(t, c, `sed -n 's/^Cap\(Bnd\|Prm\|Eff\|Inh\|Amb\)://p' /proc/self/status`)) {
			var set uint64
			if _, err := fmt.Sscanf(field, "%x", &set); err != nil {
				t.Fatal(err)
			}
			bits |= set
		}
		if bits&(1<<unix.CAP_NET_ADMIN) != 0 || bits&(1<<unix.CAP_CHOWN) == 0 {
			t.Errorf("the capabilities are %x: NET_ADMIN must not be there, CHOWN must", bits)
		}
		for _, script := range []string{
			`ip addr add 203.0.113.9/32 dev lo`, `ip link set lo mtu 65000`, `iptables -A INPUT -p tcp --dport 9 -j DROP`,
			`nft add table inet canary`, `unshare -Urn true && ip route add blackhole 198.51.100.0/24`,
		} {
			if said, err := sh(t, c, script); err == nil {
				t.Errorf("%s works in the builder's network: %s", script, said)
			}
		}
		mustSh(t, c, `sysctl -w net.ipv4.ip_forward=$((1 - $(sysctl -n net.ipv4.ip_forward)))`) // of the copy
	})
	if got := readFile(t, "/proc/sys/net/ipv4/ip_forward"); got != forwards {
		t.Errorf("the builder's ip_forward became %q", got)
	}
	if got := read(t, e, applyOne(t, e, `true`, to), "etc/resolv.conf"); got["etc/resolv.conf"] != read(t, e, base, "etc/resolv.conf")["etc/resolv.conf"] {
		t.Errorf("the builder's resolv.conf ships: %q", got)
	}
}

func TestLongHostNames(t *testing.T) {
	e, base := shared.use(t)
	longest := strings.Repeat("a", 64)
	img := applyOne(t, e, `test "$(hostname)" = `+script(longest), target(longest, base))
	if got := read(t, e, img, "etc/hostname")["etc/hostname"]; got != longest+"\n" {
		t.Errorf("/etc/hostname holds %q", got)
	}
	_, err := e.Apply(t.Context(), script(`true`), change, target(longest+"a", base))
	if err == nil || !strings.Contains(err.Error(), longest+"a") || !strings.Contains(err.Error(), "64 bytes") {
		t.Errorf("a host name of 65 bytes: %v", err)
	}
}
