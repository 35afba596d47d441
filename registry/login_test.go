package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

const canary = "c4n4ry/p@ss word"

// loginServer lets only anna in, and repeats the password in its refusals, as
// a proxy with debugging switched on might.
func loginServer(carried *bool) wrapper {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			username, password, ok := request.BasicAuth()
			if password == canary {
				*carried = true
			}
			if username == "anna" && password == canary {
				next.ServeHTTP(w, request)
				return
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			if ok {
				fmt.Fprintf(w, "%s, that is %s and %q", request.Header.Get("Authorization"), password, request.URL)
			}
		})
	}
}

// dockerConfig makes a Docker configuration the one of this test.
func dockerConfig(t *testing.T, config any) {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
}

func auths(address, login string) any {
	return map[string]any{"auths": map[string]any{
		address: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(login))},
	}}
}

func TestLogin(t *testing.T) {
	var carried bool
	address := serveRegistry(t, loginServer(&carried))

	t.Run("given", func(t *testing.T) {
		dockerConfig(t, auths(address, "anna:wrong")) // loses to what is given
		r := open(t, Options{Hostname: address, Username: "anna", Password: canary})
		if err := r.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("docker configuration", func(t *testing.T) {
		dockerConfig(t, auths(address, "anna:"+canary))
		if err := open(t, Options{Hostname: address}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("credential helper", func(t *testing.T) {
		bin := t.TempDir()
		answer := fmt.Sprintf(`{"ServerURL":%q,"Username":"anna","Secret":%q}`, address, canary)
		script := "#!/bin/sh\ncat >/dev/null\nprintf '%s' '" + answer + "'\n"
		if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		dockerConfig(t, map[string]any{"credHelpers": map[string]string{address: "test"}})
		if err := open(t, Options{Hostname: address}).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("none", func(t *testing.T) {
		dockerConfig(t, map[string]any{})
		err := open(t, Options{Hostname: address}).Check(t.Context())
		if !errdefs.IsUnauthorized(err) || !strings.Contains(err.Error(), "docker login "+address) {
			t.Errorf("without a login: %v", err)
		}
	})
	t.Run("half", func(t *testing.T) {
		if _, err := Open(t.Context(), Options{Hostname: address, Username: "anna"}); err == nil {
			t.Error("a user name without a password is accepted")
		}
	})
}

func TestPasswordStaysSecret(t *testing.T) {
	tests := map[string]func(t *testing.T, address string) Options{
		"given": func(t *testing.T, address string) Options {
			return Options{Hostname: address, Username: "berta", Password: canary}
		},
		"docker configuration": func(t *testing.T, address string) Options {
			dockerConfig(t, auths(address, "berta:"+canary))
			return Options{Hostname: address}
		},
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			var carried bool
			address := serveRegistry(t, loginServer(&carried))
			var logged bytes.Buffer
			o := options(t, address)
			o.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: levelTrace}))
			o.Attempts = 2
			r := open(t, o)
			o.Log.Info("opened", "options", o)
			fmt.Fprintf(&logged, "%v %+v %#v %s", o, o, o, o)

			store := newStore(t)
			desc, _ := newImage(t, store)
			_, pushed := r.Push(t.Context(), "web", desc, store, PushOptions{Tags: []string{Latest}})
			_, pulled := r.Pull(t.Context(), "web", Latest, store)
			for _, err := range []error{r.Check(t.Context()), pushed, pulled} {
				if err == nil {
					t.Fatal("berta was let in")
				}
				if !strings.Contains(err.Error(), "[redacted]") {
					t.Errorf("the server repeats the password, but nothing is redacted in %q", err)
				}
				fmt.Fprintf(&logged, "%v %+v %#v", err, err, err)
			}
			if !carried {
				t.Error("the password was never sent: the test shows nothing")
			}
			encoded := base64.StdEncoding.EncodeToString([]byte("berta:" + canary))
			for _, secret := range []string{canary, encoded} {
				if strings.Contains(logged.String(), secret) {
					t.Errorf("%q is in an error or a log:\n%s", secret, logged.String())
				}
			}
		})
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(newApp(t))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()

	// Plain HTTP, which loopback allows, must not be what makes this fail or work.
	err := open(t, Options{Hostname: address}).Check(t.Context())
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "/etc/docker/certs.d/"+address+"/ca.crt") {
		t.Errorf("unknown authority: %v", err)
	}

	certs := t.TempDir()
	if err := os.Mkdir(filepath.Join(certs, address), 0o755); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(certs, address, "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o644); err != nil {
		t.Fatal(err)
	}
	r := open(t, Options{Hostname: address, CertDirs: []string{filepath.Join(certs, "absent"), certs}})
	store := newStore(t)
	desc, _ := newImage(t, store)
	mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{Latest}})
	if _, err := r.Pull(t.Context(), "web", Latest, newStore(t)); err != nil {
		t.Error(err)
	}

	if err := os.WriteFile(ca, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Hostname: address, CertDirs: []string{certs}}); err == nil || !strings.Contains(err.Error(), ca) {
		t.Errorf("damaged certificate: %v", err)
	}
}

func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	for address, allowed := range map[string]bool{
		"http://192.0.2.1:5000/v2/":        false,
		"http://10.0.0.1/v2/":              false,
		"http://localhost.example.org/v2/": false,
		"https://192.0.2.1:5000/v2/":       true,
		"http://127.0.0.1:5000/v2/":        true,
		"http://127.8.8.8/v2/":             true,
		"http://localhost:5000/v2/":        true,
		"http://[::1]:5000/v2/":            true,
	} {
		reached := false
		guard := loopbackHTTP{roundTripper(func(*http.Request) (*http.Response, error) {
			reached = true
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := guard.RoundTrip(request); (err == nil) != allowed || reached != allowed {
			t.Errorf("%s: allowed %v, %v", address, reached, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func TestCheckPush(t *testing.T) {
	readOnly := false
	address := serveRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if readOnly && request.Method != http.MethodGet && request.Method != http.MethodHead {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, request)
		})
	})
	r := open(t, Options{Hostname: address})
	if err := r.CheckPush(t.Context(), "web/app"); err != nil {
		t.Errorf("a registry that takes pushes: %v", err)
	}
	readOnly = true
	err := r.CheckPush(t.Context(), "web/app")
	if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "web/app") {
		t.Errorf("a registry that takes none: %v", err)
	}
}
