//go:build integration

package boot

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vauban/internal/gateway"
)

// The published files, host keys among them, are served to the machine alone.
func TestOthersDoNotReachTheServer(t *testing.T) {
	up, end := filepath.Join(t.TempDir(), "up"), filepath.Join(t.TempDir(), "end")
	script := `
curl -sf http://127.0.0.1/web/releases/r2/rootfs.squashfs >` + up + `.new && mv ` + up + `.new ` + up + `
while [ ! -e ` + end + ` ]; do sleep 0.05; done
tr '\0' '\n' </proc/$$/cmdline >` + end + `
echo '{"state": "running"}'
`
	before := listeners(t)
	booted := make(chan error, 1)
	go func() {
		_, err := Boot(t.Context(), testOptions(t, script))
		booted <- err
	}()
	content := waitFor(t, up)
	if content != "rootfs of r2" {
		t.Errorf("the machine was served %q", content)
	}
	for one := range listeners(t) {
		if !before[one] {
			t.Errorf("while the machine runs, this machine listens on %s", one)
		}
	}
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-booted; err != nil {
		t.Error(err)
	}
}

// listeners are the TCP sockets of this network namespace that wait for
// connections.
func listeners(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, table := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		content, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if fields := strings.Fields(line); len(fields) > 3 && fields[3] == "0A" {
				all[fields[1]] = true
			}
		}
	}
	return all
}

func waitFor(t *testing.T, path string) string {
	t.Helper()
	for range 600 {
		if content, err := os.ReadFile(path); err == nil {
			return string(content)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not come", path)
	return ""
}

// The guest reaches of this machine what is allowed, and finds names.
func TestGuestReach(t *testing.T) {
	own := ownAddress(t)
	listener, err := net.Listen("tcp4", net.JoinHostPort(own, "0"))
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "reached") }))
	web.Listener.Close()
	web.Listener = listener
	web.Start()
	defer web.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	loopback := httptest.NewServer(web.Config.Handler)
	defer loopback.Close()
	script := fmt.Sprintf(`
grep nameserver /etc/resolv.conf >&2
got="$(curl -s -m 3 %s) $(curl -s -m 3 %s || echo refused) $(curl -s -m 3 http://169.254.169.254 || echo never) $(grep -c %s /etc/resolv.conf)"
echo "{\"state\": \"running\", \"output\": \"$(echo "$got" | base64 -w0)\"}"
`, web.URL, loopback.URL, gateway.Nameserver)
	for name, test := range map[string]struct {
		reach  []gateway.Destination
		output string
		notice string
	}{
		"by itself": {nil, " refused never 1\n", fmt.Sprintf(`network_allow: [\"%s:%d\"]`, own, port)},
		"allowed":   {[]gateway.Destination{{Host: own, Port: uint16(port)}}, "reached refused never 1\n", "never permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			o := testOptions(t, script)
			o.Reach, o.Log = test.reach, slog.New(slog.NewTextHandler(&log, nil))
			result, err := Boot(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(result.Report.Output); got != test.output {
				t.Errorf("the guest got %q, want %q", got, test.output)
			}
			if !strings.Contains(log.String(), test.notice) {
				t.Errorf("log:\n%swant %q in it", log.String(), test.notice)
			}
		})
	}
	if content, err := os.ReadFile("/etc/resolv.conf"); err == nil && strings.Contains(string(content), gateway.Nameserver.String()) {
		t.Error("this machine's resolv.conf is the guest's")
	}
}

// ownAddress is an address of this machine besides its loopback.
func ownAddress(t *testing.T) string {
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

// A killed run leaves neither the machine nor its network.
func TestKilledBoot(t *testing.T) {
	const marker = "VAUBAN_TEST_BOOT"
	pidFile := os.Getenv(marker)
	if pidFile != "" {
		_, err := Boot(t.Context(), testOptions(t, "echo $$ >"+pidFile+".new; mv "+pidFile+".new "+pidFile+"\nexec sleep 3600\n"))
		t.Fatal(err)
	}
	pidFile = filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledBoot$")
	cmd.Env = append(os.Environ(), marker+"="+pidFile, "TMPDIR="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(waitFor(t, pidFile)))
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for range 100 {
		if !inUse(t, namespace) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("after the kill, processes are in %s", namespace)
}

func inUse(t *testing.T, namespace string) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if got, err := os.Readlink(one); err == nil && got == namespace {
			return true
		}
	}
	return false
}
