package layers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"vauban/internal/beneath"
)

const sshDir = "/etc/ssh"

// hostKey is an SSH host key that no machine will have.
type hostKey struct {
	kind            string // as in its file's name
	private, public []byte
}

// lendHostKeys gives an SSH server that has no key those that its package
// would make: `sshd -t`, which roles validate their templates with, refuses to
// work without, and roles see to the keys' modes and owners.
func (c *Container) lendHostKeys() error {
	root, err := beneath.OpenRoot("/")
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Stat("/usr/sbin/sshd"); err != nil {
		return nil
	}
	if keys, err := root.Glob(sshDir+"/ssh_host_*_key", maxEntries); err != nil || len(keys) > 0 {
		return err
	}
	keys, err := c.engine.hostKeys()
	if err != nil {
		return err
	}
	return keepingDate(sshDir, func() error {
		for _, k := range keys {
			path := filepath.Join(sshDir, "ssh_host_"+k.kind+"_key")
			if err := c.lendSecret(path, k.private, 0o600); err != nil {
				return err
			}
			if err := c.lendSecret(path+".pub", k.public, 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Container) lendSecret(path string, content []byte, mode os.FileMode) error {
	if err := c.lendOne(path, content, mode); err != nil {
		return err
	}
	c.lent[len(c.lent)-1].secret = true
	return nil
}

// throwAwayKeys makes one of each kind.
func throwAwayKeys() ([]hostKey, error) {
	var keys []hostKey
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		key, err := throwAwayKey(kind)
		if err != nil {
			return nil, fmt.Errorf("making a host key for the run: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func throwAwayKey(kind string) (hostKey, error) {
	var signer crypto.Signer
	var err error
	switch kind {
	case "rsa":
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa":
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return hostKey{}, err
	}
	block, err := ssh.MarshalPrivateKey(signer, "temporary, for a build by vauban")
	if err != nil {
		return hostKey{}, err
	}
	public, err := ssh.NewPublicKey(signer.Public())
	if err != nil {
		return hostKey{}, err
	}
	return hostKey{kind, pem.EncodeToMemory(block), ssh.MarshalAuthorizedKey(public)}, nil
}
