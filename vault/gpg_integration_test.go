//go:build integration

package vault

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gnupg returns what runs the real gpg, in a home of its own and with its
// passphrase as the first of two lines on stdin.
func gnupg(t *testing.T) func(arguments ...string) ([]byte, error) {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg-") // its agent's socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if text, err := exec.Command("gpgconf", "--homedir", home, "--kill", "gpg-agent").CombinedOutput(); err != nil {
			t.Errorf("ending gpg's agent: %v: %s", err, text)
		}
		os.RemoveAll(home)
	})
	return func(arguments ...string) ([]byte, error) {
		command := exec.CommandContext(t.Context(), "gpg", append([]string{"--homedir", home, "--batch", "--no-tty", "--quiet",
			"--pinentry-mode", "loopback", "--no-symkey-cache", "--passphrase-fd", "0"}, arguments...)...)
		command.Stdin = strings.NewReader("pass phrase é\nsecond line\n")
		var stderr bytes.Buffer
		command.Stderr = &stderr
		output, err := command.Output()
		if err != nil {
			err = fmt.Errorf("gpg %q: %w: %s", arguments, err, stderr.String())
		}
		return output, err
	}
}

func run(t *testing.T, dir, name string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, arguments, err, output)
	}
	return string(output)
}

const gpgPassphrase = "pass phrase é\nsecond line"

// TestGPGReadsOurs decrypts and unpacks our file with gpg and tar, and has
// ssh-keygen read the keys.
func TestGPGReadsOurs(t *testing.T) {
	dir := t.TempDir()
	id := testIdentity(t)
	if err := NewLocal(dir, gpgPassphrase).Put(t.Context(), "web-1", id); err != nil {
		t.Fatal(err)
	}
	archive, err := gnupg(t)("--decrypt", filepath.Join(dir, "web-1.tar.gpg"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "web-1.tar"), archive, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "tar", "-xf", "web-1.tar")
	for path, file := range id.Files() {
		name := filepath.Join(dir, "web-1", path)
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, file.Content()) {
			t.Errorf("%s is not ours: %v", path, err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode() != file.Mode {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
	for _, key := range id.Keys() {
		name := filepath.Join("web-1/etc/ssh", "ssh_host_"+string(key.Type)+"_key")
		if got := strings.TrimSpace(run(t, dir, "ssh-keygen", "-y", "-P", "", "-f", name)); got != key.Public {
			t.Errorf("ssh-keygen makes %q of the %s key, not %q", got, key.Type, key.Public)
		}
		want := fmt.Sprintf("%d %s root@web-1 (%s)\n", key.Bits, key.Fingerprint, strings.ToUpper(string(key.Type)))
		if got := run(t, dir, "ssh-keygen", "-l", "-f", name+".pub"); got != want {
			t.Errorf("ssh-keygen says %q, not %q", got, want)
		}
	}
}

// TestWeReadGPGs reads what ssh-keygen, tar and gpg made, in the ways that gpg
// can be told to.
func TestWeReadGPGs(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "web-1/etc/ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "ssh-keygen", "-A", "-f", "web-1")
	run(t, dir, "tar", "-cf", "web-1.tar", "web-1")
	gpg := gnupg(t)
	for _, options := range []string{
		"", "-z0", "--compress-algo zip", "--compress-algo bzip2", "--cipher-algo AES256 --s2k-digest-algo SHA512",
		"--cipher-algo AES", "--cipher-algo CAST5", "--cipher-algo 3DES",
		"--s2k-mode 0", "--s2k-mode 1", "--s2k-count 1024", "--rfc4880", "--openpgp", "--gnupg",
		"--s2k-digest-algo SHA256 --s2k-cipher-algo AES192", "--disable-mdc",
	} {
		t.Run(options, func(t *testing.T) {
			arguments := append(strings.Fields(options), "--symmetric", "--yes", filepath.Join(dir, "web-1.tar"))
			if _, err := gpg(arguments...); err != nil {
				t.Fatal(err)
			}
			id, err := NewLocal(dir, gpgPassphrase).Get(t.Context(), "web-1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{machineIDPart}, id.Missing()); diff != "" {
				t.Errorf("missing: want (-), got (+):\n%s", diff)
			}
			for path, file := range id.Files() {
				if got, err := os.ReadFile(filepath.Join(dir, "web-1", path)); err != nil || !bytes.Equal(got, file.Content()) {
					t.Errorf("%s is not what ssh-keygen made: %v", path, err)
				}
			}
			if _, err := NewLocal(dir, "another").Get(t.Context(), "web-1"); err == nil || !strings.Contains(err.Error(), "does not fit") {
				t.Errorf("with a wrong passphrase: %v", err)
			}
		})
	}
	t.Run("gets a machine-id", func(t *testing.T) {
		store := NewLocal(dir, gpgPassphrase)
		before, err := store.Get(t.Context(), "web-1")
		if err != nil {
			t.Fatal(err)
		}
		after, created, err := Ensure(t.Context(), store, "web-1")
		if err != nil || !created || !cmp.Equal(before.Keys(), after.Keys()) {
			t.Errorf("created %v, same keys %v, %v", created, cmp.Equal(before.Keys(), after.Keys()), err)
		}
	})
}

// TestGPGCiphersWeLack says what to do about what our library cannot decrypt.
func TestGPGCiphersWeLack(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web-1.tar"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	gpg := gnupg(t)
	for _, cipher := range []string{"TWOFISH", "CAMELLIA256", "BLOWFISH"} {
		if _, err := gpg("--cipher-algo", cipher, "--symmetric", "--yes", filepath.Join(dir, "web-1.tar")); err != nil {
			t.Fatal(err)
		}
		_, err := NewLocal(dir, gpgPassphrase).Get(t.Context(), "web-1")
		if err == nil || !strings.Contains(err.Error(), "gpg --symmetric --cipher-algo AES256") {
			t.Errorf("%s: error %v", cipher, err)
		}
	}
}

// TestGPGFindsDamage compares our judgement of a damaged file with gpg's.
func TestGPGFindsDamage(t *testing.T) {
	dir := t.TempDir()
	store := NewLocal(dir, gpgPassphrase)
	if err := store.Put(t.Context(), "web-1", testIdentity(t)); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "web-1.tar.gpg")
	message, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	message[len(message)/2] ^= 1
	if err := os.WriteFile(name, message, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gnupg(t)("--decrypt", name); err == nil {
		t.Error("gpg accepts it")
	}
	if _, err := store.Get(t.Context(), "web-1"); err == nil {
		t.Error("we accept it")
	}
}
