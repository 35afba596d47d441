package vault

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"vauban/internal/redact"

	"golang.org/x/crypto/ssh"
)

// KeyType is a type of SSH key in ssh-keygen's words.
type KeyType string

// The types of host keys that every identity has.
const (
	Ed25519 KeyType = "ed25519" // 256 bits
	RSA     KeyType = "rsa"     // 4096 bits when created here
	ECDSA   KeyType = "ecdsa"   // 384 bits when created here
)

var keyTypes = [...]KeyType{Ed25519, RSA, ECDSA}

const (
	newRSABits = 4096
	// minRSABits is what ssh-keygen made by default from 2009 on.
	minRSABits = 2048
)

// Key is the public side of a host key.
type Key struct {
	Type        KeyType
	Bits        int
	Fingerprint string // "SHA256:…", as ssh shows it
	Public      string // the line of its .pub file
}

// keyPair holds the texts of a key's two files.
type keyPair struct {
	Key
	private redact.Secret
	public  string
	signer  ssh.Signer
}

// generatePair makes a new key pair. The texts are what ssh-keygen would write.
func generatePair(t KeyType, comment string) (keyPair, error) {
	private, err := generate(t)
	if err != nil {
		return keyPair{}, fmt.Errorf("generating a %s key: %w", t, err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return keyPair{}, fmt.Errorf("generating a %s key: %w", t, err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return keyPair{}, fmt.Errorf("generating a %s key: %w", t, err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) + " " + comment
	return parsePair(t, string(pem.EncodeToMemory(block)), line)
}

func generate(t KeyType) (crypto.Signer, error) {
	switch t {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA:
		return rsa.GenerateKey(rand.Reader, newRSABits)
	case ECDSA:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	return nil, fmt.Errorf("%q is not a type of key", t)
}

// parsePair reads the texts of a key's files. An empty public one is made from
// the private. Errors show nothing of either.
func parsePair(t KeyType, private, public string) (keyPair, error) {
	private = strings.TrimSpace(private) + "\n" // what passed through a shell or JSON lost its end
	signer, err := ssh.ParsePrivateKey([]byte(private))
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		return keyPair{}, errors.New("the private key has a passphrase, which sshd cannot ask for: remove it with ssh-keygen -p")
	}
	if err != nil {
		return keyPair{}, errors.New("ssh cannot read the private key: restore it, or remove it to have a new one created")
	}
	if strings.TrimSpace(public) == "" {
		public = string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	}
	public = strings.TrimSpace(public) + "\n"
	stored, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return keyPair{}, errors.New("the public key is not one line that ssh could read: restore it, or remove it to have it made from the private key")
	}
	if !bytes.Equal(stored.Marshal(), signer.PublicKey().Marshal()) {
		return keyPair{}, errors.New("the public key belongs to another private key: restore it, or remove it to have it made from the private key")
	}
	key := Key{Fingerprint: ssh.FingerprintSHA256(stored), Public: strings.TrimSpace(public)}
	key.Type, key.Bits = describe(stored)
	if key.Type != t {
		return keyPair{}, fmt.Errorf("this is a key of another type, %s", stored.Type())
	}
	return keyPair{Key: key, private: redact.NewSecret(private), public: public, signer: signer}, nil
}

// describe returns an empty type for what is no host key of ours.
func describe(key ssh.PublicKey) (t KeyType, bits int) {
	wrapped, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return "", 0
	}
	switch public := wrapped.CryptoPublicKey().(type) {
	case ed25519.PublicKey:
		return Ed25519, 8 * len(public)
	case *rsa.PublicKey:
		return RSA, public.N.BitLen()
	case *ecdsa.PublicKey:
		return ECDSA, public.Curve.Params().BitSize
	}
	return "", 0
}

// verify signs with the private key, and verifies with the public one.
func (k keyPair) verify() error {
	if k.Type == RSA && k.Bits < minRSABits {
		return fmt.Errorf("%d bits are too few, at least %d are needed: rotate the host's keys", k.Bits, minRSABits)
	}
	data := []byte("vauban")
	signature, err := k.signer.Sign(rand.Reader, data)
	if err == nil {
		err = k.signer.PublicKey().Verify(data, signature)
	}
	if err != nil {
		return errors.New("the private key does not sign what its public key verifies: restore it, or rotate the host's keys")
	}
	return nil
}
