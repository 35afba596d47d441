package vault

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// oneIdentity is complete. It is made once, for its RSA key takes seconds.
var oneIdentity = sync.OnceValues(func() (Identity, error) { return Identity{}.complete(context.Background(), "web-1") })

func testIdentity(t testing.TB) Identity {
	t.Helper()
	id, err := oneIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// anotherIdentity has the same RSA key and nothing else in common.
func anotherIdentity(t testing.TB) Identity {
	t.Helper()
	p := testIdentity(t).parts()
	maps.DeleteFunc(p, func(name, _ string) bool { return !strings.HasPrefix(name, "rsa") })
	id, err := newIdentity(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, err = id.complete(t.Context(), "db"); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFiles(t *testing.T) {
	id := testIdentity(t)
	modes := map[string]fs.FileMode{}
	for path, file := range id.Files() {
		modes[path] = file.Mode
		if !bytes.HasSuffix(file.Content(), []byte("\n")) {
			t.Errorf("%s does not end with a line break", path)
		}
	}
	want := map[string]fs.FileMode{
		"/etc/machine-id":                   0o444,
		"/etc/ssh/ssh_host_ed25519_key":     0o600,
		"/etc/ssh/ssh_host_ed25519_key.pub": 0o644,
		"/etc/ssh/ssh_host_rsa_key":         0o600,
		"/etc/ssh/ssh_host_rsa_key.pub":     0o644,
		"/etc/ssh/ssh_host_ecdsa_key":       0o600,
		"/etc/ssh/ssh_host_ecdsa_key.pub":   0o644,
	}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if got := string(id.Files()["/etc/machine-id"].Content()); got != id.MachineID()+"\n" {
		t.Errorf("/etc/machine-id is %q", got)
	}
}

func TestNewIdentityIsStrong(t *testing.T) {
	id := testIdentity(t)
	if err := Verify(id); err != nil {
		t.Error(err)
	}
	bits := map[KeyType]int{}
	for _, key := range id.Keys() {
		bits[key.Type] = key.Bits
		if !strings.HasSuffix(key.Public, " root@web-1") {
			t.Errorf("the comment is not in %q", key.Public)
		}
		if !strings.HasPrefix(key.Fingerprint, "SHA256:") {
			t.Errorf("the fingerprint is %q", key.Fingerprint)
		}
	}
	if diff := cmp.Diff(map[KeyType]int{Ed25519: 256, RSA: 4096, ECDSA: 384}, bits); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// TestCompleteKeeps proves that nothing that is there is made again.
func TestCompleteKeeps(t *testing.T) {
	id := testIdentity(t)
	for _, missing := range [][]string{{machineIDPart}, {"ed25519", "ed25519.pub"}, {"ecdsa.pub"}} {
		p := id.parts()
		for _, name := range missing {
			delete(p, name)
		}
		partial, err := newIdentity(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := partial.complete(t.Context(), "web-1")
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(whole); err != nil {
			t.Errorf("without %q: %v", missing, err)
		}
		after := whole.parts()
		for name, text := range p {
			if after[name] != text {
				t.Errorf("without %q: %q was changed", missing, name)
			}
		}
	}
}

func TestNewIdentityRefuses(t *testing.T) {
	mine, other := testIdentity(t).parts(), anotherIdentity(t).parts()
	tests := []struct {
		name, part, text, want string
	}{
		{"another public key", "ed25519.pub", other["ed25519.pub"], "another private key"},
		{"cannot read the private key", "ed25519", "", "its private key is not"},
		{"a damaged key", "ed25519", strings.Replace(mine["ed25519"], "A", "B", 9), "cannot read the private key"},
		{"another type", "ecdsa", mine["ed25519"], "another private key"},
		{"another type, both", "ecdsa+", "ed25519", "of another type"},
		{"two lines", "rsa.pub", mine["rsa.pub"] + other["ed25519.pub"], "not one line"},
		{"not a public key", "rsa.pub", "hello", "not one line"},
		{"a short machine-id", machineIDPart, "abc", "32 lower-case"},
		{"capitals", machineIDPart, strings.Repeat("A", 32), "32 lower-case"},
		{"zeros", machineIDPart, strings.Repeat("0", 32), "32 lower-case"},
		{"uninitialized", machineIDPart, "uninitialized\n", "32 lower-case"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := maps.Clone(mine)
			switch part, both := strings.CutSuffix(tt.part, "+"); {
			case both:
				p[part], p[part+".pub"] = mine[tt.text], mine[tt.text+".pub"]
			case tt.text == "":
				delete(p, tt.part)
			default:
				p[tt.part] = tt.text
			}
			_, err := newIdentity(p, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if len(tt.text) > 60 && strings.Contains(err.Error(), tt.text[40:60]) {
				t.Errorf("the error shows the text: %v", err)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	p := testIdentity(t).parts()
	delete(p, "rsa")
	delete(p, "rsa.pub")
	delete(p, machineIDPart)
	id, err := newIdentity(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(id); err == nil || !strings.Contains(err.Error(), "no rsa, machine-id") {
		t.Errorf("error %v", err)
	}
	if err := (keyPair{Key: Key{Type: RSA, Bits: 1024}}).verify(); err == nil {
		t.Error("an RSA key of 1024 bits was accepted")
	}
	// An ed25519 private key whose halves do not belong together parses.
	signer := id.get().keys[Ed25519]
	signer.signer = brokenSigner{signer.signer}
	if err := signer.verify(); err == nil {
		t.Error("a signature of something else was accepted")
	}
}

// TestShowsNowhere prints what holds secrets in every way there is; next to it
// goes a canary, which must come out, else the test would see nothing at all.
func TestShowsNowhere(t *testing.T) {
	const password, canary = "s3cr3t-value", "canary"
	id := testIdentity(t)
	file := id.Files()["/etc/ssh/ssh_host_ed25519_key"]
	kv := KVOptions{Address: canary, Token: password, SecretID: password}
	connection, err := newClient(KVOptions{Address: "http://" + canary, Token: password})
	if err != nil {
		t.Fatal(err)
	}
	commit := CommitOptions{Branch: canary, Password: password}
	type open struct {
		Canary string
		ID     Identity
		File   File
		Local  *Local
		KV     KVOptions
		Commit CommitOptions
	}
	type closed struct {
		canary string
		id     Identity
		file   File
		local  Local
		client *client
		store  KV
	}
	visible := open{canary, id, file, NewLocal(canary, password), kv, commit}
	hidden := closed{canary, id, file, *NewLocal(canary, password), connection, KV{client: connection}}
	printed := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%10.3s"} {
		printed[verb+" exported"] = fmt.Sprintf(verb, visible)
		printed[verb+" unexported"] = fmt.Sprintf(verb, hidden)
		printed[verb+" pointer"] = fmt.Sprintf(verb, &visible)
		printed[verb+" alone"] = canary + fmt.Sprintf(strings.Repeat(verb, 8), id, &id, file, visible.Local, kv, commit, connection, hidden.store)
	}
	asJSON, err := json.Marshal(visible)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(struct {
		Canary string
		ID     Identity
		File   File
	}{canary, id, file})
	if err != nil {
		t.Fatal(err)
	}
	printed["json"], printed["yaml"] = string(asJSON), string(asYAML)
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info(canary, "id", id, "file", file, "kv", kv, "commit", commit, "all", visible, "local", visible.Local)
	}
	printed["slog"] = log.String()

	body := strings.Split(string(file.Content()), "\n")[2][:12] // of the private key
	for way, text := range printed {
		if !strings.Contains(text, canary) && !strings.Contains(text, hex.EncodeToString([]byte(canary))) && !strings.Contains(text, canary[:3]) {
			t.Errorf("%s: the canary is not in %q", way, text)
		}
		for _, secret := range []string{password, body} {
			if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) {
				t.Errorf("%s shows a secret", way)
			}
		}
	}
}

func TestMachineID(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := newMachineID()
		if err := checkMachineID(id); err != nil {
			t.Fatal(err)
		}
		if id[12] != '4' || !strings.Contains("89ab", id[16:17]) {
			t.Errorf("%s is not a random UUID", id)
		}
		seen[id] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d different ones of 100", len(seen))
	}
}

// FuzzNewIdentity feeds what could be in a store. Whatever is accepted must
// come out as it went in.
func FuzzNewIdentity(f *testing.F) {
	id := testIdentity(f).parts()
	f.Add(id["ed25519"], id["ed25519.pub"], id[machineIDPart])
	f.Add(id["ecdsa"], "", "")
	f.Add("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----", "ssh-rsa AAAA", "1")
	f.Fuzz(func(t *testing.T, private, public, machineID string) {
		for _, keyType := range keyTypes {
			first, err := newIdentity(parts{string(keyType): private, string(keyType) + ".pub": public, machineIDPart: machineID}, nil)
			if err != nil {
				continue
			}
			second, err := newIdentity(first.parts(), nil)
			if err != nil || !second.Equal(first) {
				t.Errorf("%v: came back as %q, not %q", err, slices.Collect(maps.Values(second.parts())), first.parts())
			}
		}
	})
}
