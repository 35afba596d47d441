package testenv

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// AptProxy is an http proxy on the loopback address that counts what it is
// asked for, and is itself the private repository http://PrivateHost/.
type AptProxy struct {
	URL string

	mu    sync.Mutex
	seen  []string // the hosts that were asked for
	hosts map[string]http.Handler
}

// Serve makes the proxy answer for a host itself.
func (p *AptProxy) Serve(host string, handler http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hosts == nil {
		p.hosts = map[string]http.Handler{}
	}
	p.hosts[host] = handler
}

// The private repository, and what it asks for. The package's one file is
// PrivateFile.
const (
	PrivateHost     = "packages.private.example"
	PrivateUser     = "builder"
	PrivatePassword = "canary-of-the-private-repository"
	PrivatePackage  = "vauban-private"
	PrivateFile     = "/usr/share/vauban-private"
	// PrivateSource is its line for sources.list.
	PrivateSource = "deb [trusted=yes] http://" + PrivateHost + "/ ./"
)

// PrivateAuth is the text of a file for apt_auth.conf(5).
func PrivateAuth() string {
	return fmt.Sprintf("machine http://%s login %s password %s\n", PrivateHost, PrivateUser, PrivatePassword)
}

// StartAptProxy serves until the test ends.
func StartAptProxy(t testing.TB) *AptProxy {
	t.Helper()
	repository := http.FileServer(http.Dir(privateRepository(t)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &AptProxy{URL: "http://" + listener.Addr().String()}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.URL.Host)
		own := p.hosts[r.URL.Host]
		p.mu.Unlock()
		if own != nil {
			own.ServeHTTP(w, r)
			return
		}
		if r.URL.Host != PrivateHost {
			forward(w, r)
			return
		}
		if user, password, ok := r.BasicAuth(); !ok || user != PrivateUser || password != PrivatePassword {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		repository.ServeHTTP(w, r)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return p
}

// Requests counts what was asked for of a host, or of all for "".
func (p *AptProxy) Requests(host string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, one := range p.seen {
		if host == "" || one == host {
			n++
		}
	}
	return n
}

func forward(w http.ResponseWriter, r *http.Request) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.Header.Del("Proxy-Connection")
	answer, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	io.Copy(w, answer.Body)
}

// privateRepository is a folder that apt takes for a flat repository. Beside
// the private package it has what every bootstrap asks for.
func privateRepository(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	packages := addPackage(t, dir, PrivatePackage, "1:1.0", PrivateFile) + "\n" +
		addPackage(t, dir, "ca-certificates", "0", "/usr/share/ca-certificates/none")
	sum := sha256.Sum256([]byte(packages))
	release := fmt.Sprintf("Date: %s\nSHA256:\n %x %d Packages\n", aptDate(time.Now()), sum, len(packages))
	for name, text := range map[string]string{"Packages": packages, "Release": release} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// addPackage builds a package of one file and gives its entry for Packages.
func addPackage(t testing.TB, dir, name, version, file string) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	control := "Package: " + name + "\nVersion: " + version + "\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: for a test\n"
	for path, text := range map[string]string{"DEBIAN/control": control, file: "from the private repository\n"} {
		path = filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	deb := filepath.Join(dir, name+"_all.deb")
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "--build", tree, deb).CombinedOutput(); err != nil {
		t.Fatalf("building a package: %v: %s", err, out)
	}
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%sFilename: ./%s\nSize: %d\nSHA256: %x\n", control, filepath.Base(deb), len(data), sha256.Sum256(data))
}
