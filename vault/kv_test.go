package vault

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// server answers as a KV engine of version 2 mounted at secret/ does, with an
// AppRole next to it. TestKVServer does the same with a real server.
// Source: https://openbao.org/api-docs/secret/kv/kv-v2/
type server struct {
	*httptest.Server
	mu       sync.Mutex
	secrets  map[string]*secretVersions
	token    string // the one that is accepted
	logins   int
	requests int
	writes   int
	// before, when set, may answer in the server's place.
	before func(w http.ResponseWriter, r *http.Request) bool
}

type secretVersions struct {
	data    map[string]any // of the last version, nil once deleted
	version int
}

func newServer(t *testing.T) *server {
	s := &server{secrets: map[string]*secretVersions{}, token: "token-0"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) options() KVOptions {
	return KVOptions{Address: s.URL, Path: "secret/team/", Token: "token-0", Backoff: time.Microsecond}
}

func (s *server) open(t *testing.T) *KV {
	t.Helper()
	store, err := NewKV(s.options())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.before != nil && s.before(w, r) {
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	data, isData := strings.CutPrefix(path, "secret/data/")
	folder, isMetadata := strings.CutPrefix(path, "secret/metadata/")
	switch {
	case path == "auth/approle/login":
		s.serveLogin(w, r)
	case r.Header.Get("X-Vault-Token") != s.token:
		reply(w, http.StatusForbidden, map[string]any{"errors": []string{"permission denied"}})
	case isData && r.Method == http.MethodGet:
		s.serveRead(w, data)
	case isData && r.Method == http.MethodPost:
		s.serveWrite(w, r, data)
	case isMetadata && r.URL.Query().Get("list") == "true":
		s.serveList(w, folder)
	default:
		reply(w, http.StatusNotFound, map[string]any{"errors": []string{"no handler for route \"" + path + "\". route entry not found."}})
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func (s *server) serveLogin(w http.ResponseWriter, r *http.Request) {
	var login map[string]string
	if err := json.NewDecoder(r.Body).Decode(&login); err != nil || login["role_id"] != "role" || login["secret_id"] != "s3cr3t-id" {
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{"invalid role or secret ID: " + login["secret_id"]}})
		return
	}
	s.logins++
	reply(w, http.StatusOK, map[string]any{"auth": map[string]any{"client_token": s.token}})
}

func (s *server) serveRead(w http.ResponseWriter, name string) {
	stored, ok := s.secrets[name]
	switch {
	case !ok:
		reply(w, http.StatusNotFound, map[string]any{"errors": []string{}})
	case stored.data == nil:
		reply(w, http.StatusNotFound, map[string]any{"data": map[string]any{"data": nil,
			"metadata": map[string]any{"version": stored.version, "deletion_time": "2026-11-20T21:13:48Z"}}})
	default:
		reply(w, http.StatusOK, map[string]any{"data": map[string]any{"data": stored.data,
			"metadata": map[string]any{"version": stored.version}}})
	}
}

func (s *server) serveWrite(w http.ResponseWriter, r *http.Request, name string) {
	var body struct {
		Data    map[string]any
		Options struct{ CAS *int }
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Options.CAS == nil {
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{"check-and-set parameter required for this call"}})
		return
	}
	stored, ok := s.secrets[name]
	if !ok {
		stored = &secretVersions{}
	}
	if *body.Options.CAS != stored.version {
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{"check-and-set parameter did not match the current version"}})
		return
	}
	stored.data = body.Data
	stored.version++
	s.secrets[name] = stored
	s.writes++
	reply(w, http.StatusOK, map[string]any{"data": map[string]any{"version": stored.version}})
}

func (s *server) serveList(w http.ResponseWriter, folder string) {
	names := map[string]bool{}
	for name := range s.secrets {
		if rest, ok := strings.CutPrefix(name, folder); ok {
			first, _, isFolder := strings.Cut(rest, "/")
			if isFolder {
				first += "/"
			}
			names[first] = true
		}
	}
	if len(names) == 0 {
		reply(w, http.StatusNotFound, map[string]any{"errors": []string{}})
		return
	}
	reply(w, http.StatusOK, map[string]any{"data": map[string]any{"keys": slices.Sorted(maps.Keys(names))}})
}

func TestKV(t *testing.T) {
	testStore(t, func(t *testing.T) func() Store {
		s := newServer(t)
		return func() Store { return s.open(t) }
	})
}

// TestKVLayout: others read and write these secrets too.
func TestKVLayout(t *testing.T) {
	s := newServer(t)
	id := testIdentity(t)
	if err := s.open(t).Put(t.Context(), "web-1", id); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"team/sshd/web-1/ed25519":    {"ed25519", "ed25519.pub"},
		"team/sshd/web-1/rsa":        {"rsa", "rsa.pub"},
		"team/sshd/web-1/ecdsa":      {"ecdsa", "ecdsa.pub"},
		"team/sshd/web-1/machine-id": {"machine-id"},
	}
	got := map[string][]string{}
	for name, stored := range s.secrets {
		got[name] = slices.Sorted(maps.Keys(stored.data))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if got := s.secrets["team/sshd/web-1/rsa"].data["rsa"]; got != string(id.Files()["/etc/ssh/ssh_host_rsa_key"].Content()) {
		t.Errorf("the field rsa is not the private key's file")
	}
	// Others drop the line break at the end of a field.
	for _, stored := range s.secrets {
		for field, text := range stored.data {
			stored.data[field] = strings.TrimSpace(text.(string))
		}
	}
	if got, err := s.open(t).Get(t.Context(), "web-1"); err != nil || !got.Equal(id) {
		t.Errorf("without line breaks: %v", err)
	}
}

// TestKVUnchanged proves that what is there is written by nobody.
func TestKVUnchanged(t *testing.T) {
	s := newServer(t)
	if err := s.open(t).Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	delete(s.secrets, "team/sshd/web-1/machine-id")
	s.writes = 0
	if _, created, err := Ensure(t.Context(), s.open(t), "web-1"); err != nil || !created {
		t.Fatal(created, err)
	}
	if s.writes != 1 {
		t.Errorf("%d secrets were written, not the missing one alone", s.writes)
	}
}

// TestKVDeleted: a deleted secret is not there, but has a version.
func TestKVDeleted(t *testing.T) {
	s := newServer(t)
	store := s.open(t)
	if err := store.Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	for _, stored := range s.secrets {
		stored.data = nil
	}
	if _, err := store.Get(t.Context(), "web-1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get: %v", err)
	}
	if _, created, err := Ensure(t.Context(), store, "web-1"); err != nil || !created {
		t.Errorf("created %v, %v", created, err)
	}
}

func TestKVAppRole(t *testing.T) {
	s := newServer(t)
	options := s.options()
	options.Token, options.RoleID, options.SecretID = "", "role", "s3cr3t-id"
	store, err := NewKV(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	s.token = "token-1" // the first one ran out
	if _, err := store.Get(t.Context(), "web-1"); err != nil {
		t.Fatal(err)
	}
	if s.logins != 2 {
		t.Errorf("%d logins", s.logins)
	}
	options.SecretID = "s3cr3t-wrong"
	if store, err = NewKV(options); err != nil {
		t.Fatal(err)
	}
	_, err = store.Get(t.Context(), "web-1")
	if err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "VAULT_ROLE_ID") {
		t.Errorf("error %v", err)
	}
}

func TestKVRetries(t *testing.T) {
	s := newServer(t)
	failures := 0
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		failures++
		switch failures % 4 {
		case 0:
			return false
		case 1:
			panic(http.ErrAbortHandler) // cuts the connection
		case 2:
			reply(w, http.StatusTooManyRequests, map[string]any{"errors": []string{}})
		default:
			reply(w, http.StatusServiceUnavailable, map[string]any{"errors": []string{"Vault is sealed"}})
		}
		return true
	}
	store := s.open(t)
	if err := store.Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		reply(w, http.StatusServiceUnavailable, map[string]any{"errors": []string{"Vault is sealed"}})
		return true
	}
	s.requests = 0
	_, err := store.Get(t.Context(), "web-1")
	if err == nil || !strings.Contains(err.Error(), "sealed") || s.requests != 5 {
		t.Errorf("%d requests, error %v", s.requests, err)
	}
}

// TestKVLostAnswer: a write that was done, and whose answer did not arrive, is
// made again, and finds itself in its way.
func TestKVLostAnswer(t *testing.T) {
	s := newServer(t)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		name := strings.TrimPrefix(r.URL.Path, "/v1/secret/data/")
		if s.secrets[name] != nil {
			return false
		}
		s.serveWrite(httptest.NewRecorder(), r, name)
		panic(http.ErrAbortHandler)
	}
	if err := s.open(t).Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Error(err)
	}
}

func TestKVErrors(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"no permission", 403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, "1 error occurred: * permission denied: the token or role needs a policy"},
		{"no mount", 404, `{"errors":["no handler for route"]}`, "VAULT_PATH must begin with the mount"},
		{"not a vault", 404, `<html>not found</html>`, "404 Not Found"},
		{"a web page", 200, `<html>hello</html>`, "answered 200"},
		{"version 1", 200, `{"data":{"ed25519":"x"}}`, "version 2"},
		{"a number", 200, `{"data":{"data":{"ed25519":1},"metadata":{"version":1}}}`, "not the text of a key"},
		{"no key", 200, `{"data":{"data":{"ed25519":"x"},"metadata":{"version":1}}}`, "cannot read the private key"},
		{"an echo", 400, `{"errors":["you said token-0"]}`, "you said [redacted]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
				return true
			}
			_, _, err := Ensure(t.Context(), s.open(t), "web-1")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestKVVersion1Write: an engine of version 1 answers a read with 404, and a
// write with nothing.
func TestKVVersion1Write(t *testing.T) {
	s := newServer(t)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusNoContent)
			return true
		}
		return false
	}
	if _, _, err := Ensure(t.Context(), s.open(t), "web-1"); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("error %v", err)
	}
}

func TestKVRedirect(t *testing.T) {
	active := newServer(t)
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, active.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(standby.Close)
	options := active.options()
	options.Address = standby.URL
	store, err := NewKV(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Error(err)
	}

	requests := 0
	downgrade := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		http.Redirect(w, r, active.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(downgrade.Close)
	options.Address, options.Transport = downgrade.URL, downgrade.Client().Transport
	if store, err = NewKV(options); err != nil {
		t.Fatal(err)
	}
	active.requests = 0
	if _, err := store.Get(t.Context(), "web-1"); err == nil || active.requests > 0 || requests != 1 {
		t.Errorf("%d requests, %d without TLS, error %v", requests, active.requests, err)
	}
}

func TestNewKVRefuses(t *testing.T) {
	for name, o := range map[string]KVOptions{
		"no address":      {Token: "t"},
		"no scheme":       {Address: "vault.example.com:8200", Token: "t"},
		"a password":      {Address: "https://user:hunter2@vault.example.com", Token: "t"},
		"nobody":          {Address: "https://vault.example.com"},
		"half a role":     {Address: "https://vault.example.com", RoleID: "r"},
		"a path upwards":  {Address: "https://vault.example.com", Token: "t", Path: "secret/../sys"},
		"an empty folder": {Address: "https://vault.example.com", Token: "t", Path: "secret//a"},
	} {
		if _, err := NewKV(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// A server that says when to come back is obeyed, up to a bound.
func TestKVRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		seconds string
		until   int // requests that are refused
		want    string
	}{
		"more often than it is tried": {"1", 7, ""},
		"a day":                       {"86400", 1, "asks to wait 24h0m0s; vauban waits at most 30m0s"},
		"for ever":                    {"60", 1000, "vauban waits at most 30m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				o := KVOptions{Address: "http://vault.example", Token: "t", Transport: transport(func(*http.Request) (*http.Response, error) {
					if requests++; requests > test.until {
						return &http.Response{StatusCode: http.StatusNotFound, Body: io.NopCloser(strings.NewReader(`{"errors":[]}`))}, nil
					}
					return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {test.seconds}},
						Body: io.NopCloser(strings.NewReader(`{"errors":["sealed"]}`))}, nil
				})}
				c, err := newClient(o)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = c.call(t.Context(), http.MethodGet, "secret/data/x", nil)
				if took := time.Since(began); took > 31*time.Minute || test.want == "" && took < 7*time.Second {
					t.Errorf("it took %v", took)
				}
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("error %v, want %q", err, test.want)
				}
			})
		})
	}
}

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// Whatever the server answers is understood or refused.
func FuzzParseAnswer(f *testing.F) {
	f.Add(200, []byte(`{"data":{"keys":["a","b/"]}}`))
	f.Add(404, []byte(`{"errors":[]}`))
	f.Add(400, []byte(`{"errors":["check-and-set parameter did not match"]}`))
	f.Add(200, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		a, err := parseAnswer(status, text, "x")
		if err == nil && a.status != status {
			t.Errorf("status %d became %d", status, a.status)
		}
		if err == nil && status != 200 && status != 204 && status != 404 {
			t.Errorf("%d %q is no error", status, text)
		}
		if refused, ok := errors.AsType[*refusal](err); ok && refused.Error() == "" {
			t.Error("a refusal without words")
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add([]byte(`{"data":{"ed25519":"x"},"metadata":{"version":1}}`))
	f.Add([]byte(`{"data":null,"metadata":{"version":2,"deletion_time":"x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSecret(data, "x")
		if err == nil && s.version < 1 {
			t.Errorf("%q has version %d", data, s.version)
		}
	})
}
