package vault

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
)

func TestEncrypt(t *testing.T) {
	want := bytes.Repeat([]byte("identity\n"), 2000)
	message, err := encrypt(want, "pass phrase")
	if err != nil {
		t.Fatal(err)
	}
	got, err := decrypt(message, "pass phrase")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(want), err)
	}
}

// cheaply encrypts with a derivation that costs nothing.
func cheaply(t *testing.T, data []byte, passphrase string) []byte {
	t.Helper()
	var message bytes.Buffer
	w, err := openpgp.SymmetricallyEncrypt(&message, []byte(passphrase), nil, &packet.Config{S2KConfig: &s2k.Config{S2KCount: 1024}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return message.Bytes()
}

// TestWrongPassphrase tries so many that some make a plaintext that looks well
// at first: a wrong key is found by two bytes, and by what follows them.
func TestWrongPassphrase(t *testing.T) {
	message := cheaply(t, []byte("identity"), "right")
	if _, err := decrypt(message, "right"); err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		wrong := fmt.Sprintf("wrong-%d", i)
		data, err := decrypt(message, wrong)
		if err == nil || len(data) > 0 {
			t.Fatalf("%q decrypted it", wrong)
		}
		if text := err.Error(); !strings.Contains(text, "passphrase does not fit") || strings.Contains(text, wrong) {
			t.Fatalf("error %q", text)
		}
	}
}

func TestDecryptRefusesDamage(t *testing.T) {
	want := []byte(strings.Repeat("identity", 20))
	message := cheaply(t, want, "right")
	for i := range message {
		damaged := bytes.Clone(message)
		damaged[i] ^= 1
		if data, err := decrypt(damaged, "right"); err == nil && !bytes.Equal(data, want) {
			t.Errorf("byte %d changed the text to %q", i, data)
		}
		if data, err := decrypt(message[:i], "right"); err == nil {
			t.Errorf("cut off at %d: %q", i, data)
		}
	}
}

// TestDecryptRefusesForgery: who does not know the passphrase, and may write to
// the repository, must not be able to make an identity.
func TestDecryptRefusesForgery(t *testing.T) {
	var plain bytes.Buffer
	w, err := packet.SerializeLiteral(nopCloser{&plain}, true, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("forged")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	encrypted := cheaply(t, []byte("identity"), "right")
	sessionKey := encrypted[:2+int(encrypted[1])] // the packet that goes first
	for name, message := range map[string][]byte{
		"not encrypted":        plain.Bytes(),
		"after a session key":  append(bytes.Clone(sessionKey), plain.Bytes()...),
		"no message":           sessionKey,
		"nothing":              nil,
		"something else":       []byte("hello"),
		"armoured, not binary": []byte("-----BEGIN PGP MESSAGE-----\n"),
	} {
		if data, err := decrypt(message, "right"); err == nil {
			t.Errorf("%s: %q", name, data)
		}
	}
}

func TestDecryptLimit(t *testing.T) {
	var bomb bytes.Buffer
	config := &packet.Config{S2KConfig: &s2k.Config{S2KCount: 1024}, DefaultCompressionAlgo: packet.CompressionZLIB}
	w, err := openpgp.SymmetricallyEncrypt(&bomb, []byte("right"), nil, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, maxFile+1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if bomb.Len() > 10_000 {
		t.Fatalf("%d bytes: it is not compressed", bomb.Len())
	}
	if _, err := decrypt(bomb.Bytes(), "right"); err == nil || errors.Is(err, errPassphrase) {
		t.Errorf("error %v", err)
	}
}

func FuzzDecrypt(f *testing.F) {
	f.Add([]byte{0x8c, 0x0d, 0x04, 0x09, 0x03, 0x02})
	f.Fuzz(func(t *testing.T, message []byte) {
		if data, err := decrypt(message, "right"); err == nil {
			t.Errorf("%x came out as %q", message, data)
		}
	})
}

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }
