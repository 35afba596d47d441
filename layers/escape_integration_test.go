//go:build integration

package layers_test

import (
	_ "embed"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"vauban/internal/testenv"
	"vauban/layers"
)

//go:embed testdata/escape.py
var escapeScript string

// builderAddress is an address of this machine that is not its loopback.
func builderAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip := a.(*net.IPNet).IP; ip.To4() != nil && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			return ip.String()
		}
	}
	t.Fatal("this machine has no address besides its loopback")
	return ""
}

// reached are servers of the builder, TCP and UDP on one port, that note who
// gets through to them.
type reached struct {
	port int
	mu   sync.Mutex
	by   []string
}

func (r *reached) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by = append(r.by, fmt.Sprintf(format, args...))
}

func (r *reached) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.by
}

func serveBuilder(t *testing.T, addresses ...string) *reached {
	t.Helper()
	r := &reached{}
	for _, address := range addresses {
		tcp, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, r.port))
		if err != nil {
			t.Fatal(err)
		}
		r.port = tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenPacket("udp", fmt.Sprintf("%s:%d", address, r.port))
		if err != nil {
			t.Fatal(err)
		}
		var work sync.WaitGroup
		t.Cleanup(func() { tcp.Close(); udp.Close(); work.Wait() })
		work.Go(func() {
			for {
				c, err := tcp.Accept()
				if err != nil {
					return
				}
				r.note("TCP to %s", address)
				c.Close()
			}
		})
		work.Go(func() {
			for {
				if _, _, err := udp.ReadFrom(make([]byte, 100)); err != nil {
					return
				}
				r.note("UDP to %s", address)
			}
		})
	}
	return r
}

// No way out of a container's network leads to the builder, and what was
// tried is reported.
func TestNetworkEscapes(t *testing.T) {
	e, base := shared.use(t)
	own := builderAddress(t)
	servers := serveBuilder(t, "127.0.0.1", own)
	to := target("escape", base)
	var refused []layers.Refusal
	to.Refused = func(_ string, list []layers.Refusal, _ int) { refused = list }
	tried := 0
	live(t, e, to, func(c *layers.Container) {
		said := mustSh(t, c, fmt.Sprintf("python3 - %d %s 2>&1 <<'END'\n%s\nEND", servers.port, own, escapeScript))
		for line := range strings.Lines(said) {
			name, what, found := strings.Cut(strings.TrimSpace(line), ": ")
			if !found {
				continue
			}
			tried++
			if what == "CONNECTED" || what == "ATTACHED" || strings.HasPrefix(name, "a device beside") && what == "DONE" {
				t.Errorf("%s: %s", name, what)
			}
			if name == "connecting to the builder" && what != "Connection refused" {
				t.Errorf("connecting to the builder: %s, want that it is refused immediately", what)
			}
		}
		if tried < 100 || t.Failed() {
			t.Logf("the attempts said\n%s", said)
		}
	})
	if by := servers.list(); len(by) > 0 {
		t.Errorf("the builder was reached: %q", by)
	}
	if tried < 100 {
		t.Errorf("only %d ways were tried", tried)
	}
	var listed []string
	for _, r := range refused {
		listed = append(listed, r.String())
	}
	for _, want := range []string{fmt.Sprintf("tcp %s:%d", own, servers.port), fmt.Sprintf("udp %s:%d", own, servers.port), fmt.Sprintf("tcp 169.254.169.254:%d", servers.port)} {
		if !strings.Contains(strings.Join(listed, "\n"), want) {
			t.Errorf("reported are %q, want %q among them", listed, want)
		}
	}
	t.Logf("network escapes tried %d, held %d", tried, tried-len(servers.list()))
}

// What is allowed of the builder is reached, and only that.
func TestAllowedAddressOfTheBuilder(t *testing.T) {
	_, base := shared.use(t)
	own := builderAddress(t)
	servers, others := serveBuilder(t, own), serveBuilder(t, own)
	e, err := layers.Open(t.Context(), layers.Options{StateDir: shared.dir, Embedded: true, Version: "test", Log: testenv.Log(t),
		Allow: []layers.Destination{{Host: own, Port: uint16(servers.port)}, {Host: "127.0.0.0/8"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	live(t, e, target("allowed", base), func(c *layers.Container) {
		const connect = `python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)' %s %d`
		mustSh(t, c, fmt.Sprintf(connect, own, servers.port))
		for _, address := range []string{own, "127.0.0.1"} {
			if said, err := sh(t, c, fmt.Sprintf(connect, address, others.port)); err == nil {
				t.Errorf("%s port %d is reached: %s", address, others.port, said)
			}
		}
	})
	if by := servers.list(); len(by) != 1 {
		t.Errorf("the allowed port was reached by %q", by)
	}
	if by := others.list(); len(by) != 0 {
		t.Errorf("another port was reached by %q", by)
	}
}
