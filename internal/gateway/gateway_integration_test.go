//go:build integration

package gateway

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a new network namespace; the function it returns runs another
// in it.
func namespace(t testing.TB) (path string, enter func(func() error) error) {
	t.Helper()
	work, results := make(chan func() error), make(chan error)
	opened := make(chan string)
	go func() {
		runtime.LockOSThread() // the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
		opened <- fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		for fn := range work {
			results <- fn()
		}
	}()
	path = <-opened
	t.Cleanup(func() { close(work) })
	return path, func(fn func() error) error { work <- fn; return <-results }
}

// ownAddress is an address of this machine besides its loopback.
func ownAddress(t testing.TB) string {
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

func TestBuilderKnowsItsAddresses(t *testing.T) {
	b, err := newBuilder()
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{ownAddress(t): true, "127.0.0.1": true, "127.9.9.9": true, "203.0.113.77": false} {
		if got := b.has(Address); got {
			t.Errorf("the builder has %s", Address)
		}
		if got := b.has(netip.MustParseAddr(address)); got != want {
			t.Errorf("the builder has %s: %v, want %v", address, got, want)
		}
	}
}

func TestMissingSlirp(t *testing.T) {
	_, enter := namespace(t)
	for program, want := range map[string]string{"/nowhere/slirp4netns": "starting slirp4netns", "/bin/false": "it ended"} {
		_, err := Open(t.Context(), Options{Program: program, Interface: "eth0", Dir: t.TempDir(), Enter: enter})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v, want %q in it", program, err, want)
		}
	}
}

// The same download through slirp4netns alone and through the gateway, and how
// long each takes to start.
func BenchmarkDownload(b *testing.B) {
	const size = 512 << 20
	own := ownAddress(b)
	listener, err := net.Listen("tcp", own+":0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		data := make([]byte, 1<<20)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			for range size / len(data) {
				if _, err := c.Write(data); err != nil {
					break
				}
			}
			c.Close()
		}
	}()
	for name, connect := range map[string]func(b *testing.B) func(func() error) error{"alone": slirpAlone, "gateway": throughGateway} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				begun := time.Now()
				enter := connect(b)
				started := time.Since(begun)
				begun = time.Now()
				if err := enter(func() error { return download(listener.Addr().String(), size) }); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(started.Microseconds())/1000, "ms/start")
				b.ReportMetric(float64(size)/1e6/time.Since(begun).Seconds(), "MB/s")
			}
		})
	}
}

func download(address string, size int64) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if n, err := io.Copy(io.Discard, c); err != nil || n != size {
		return fmt.Errorf("%d bytes came: %w", n, err)
	}
	return nil
}

func throughGateway(b *testing.B) func(func() error) error {
	_, enter := namespace(b)
	g, err := Open(b.Context(), Options{Interface: "eth0", Dir: b.TempDir(), Enter: enter, Allow: []Rule{{Prefix: netip.MustParsePrefix(ownAddress(b) + "/32")}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.Close)
	return enter
}

func slirpAlone(b *testing.B) func(func() error) error {
	path, enter := namespace(b)
	ready, readyW, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("slirp4netns", "--configure", fmt.Sprintf("--mtu=%d", mtu), "--ready-fd=3", "--netns-type=path", path, "eth0")
	cmd.ExtraFiles = []*os.File{readyW}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	readyW.Close()
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	return enter
}
