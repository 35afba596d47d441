package vault

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
)

var errPassphrase = errors.New("the passphrase does not fit: VAULTED_SSHD_KEYS_KEY must be the one that this file was encrypted with")

// encrypt makes what gpg --symmetric would, of the strongest kind that gpg 2.2
// reads: AES-256 with a modification detection code, and the slowest
// derivation of the key that the format has, for the file is in git.
// Source: https://www.rfc-editor.org/rfc/rfc4880#section-3.7
func encrypt(data []byte, passphrase string) ([]byte, error) {
	config := &packet.Config{
		DefaultCipher: packet.CipherAES256,
		DefaultHash:   crypto.SHA512,
		S2KConfig:     &s2k.Config{S2KMode: s2k.IteratedSaltedS2K, Hash: crypto.SHA512, S2KCount: 65011712},
	}
	var message bytes.Buffer
	w, err := openpgp.SymmetricallyEncrypt(&message, []byte(passphrase), &openpgp.FileHints{IsBinary: true}, config)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return message.Bytes(), nil
}

// decrypt returns nothing before all of the message is proven to be what the
// passphrase's owner encrypted. What has no such proof is refused, as gpg does.
func decrypt(message []byte, passphrase string) ([]byte, error) {
	asked := false
	prompt := func([]openpgp.Key, bool) ([]byte, error) {
		if asked { // asked again means that it was wrong
			return nil, errPassphrase
		}
		asked = true
		return []byte(passphrase), nil
	}
	details, err := openpgp.ReadMessage(bytes.NewReader(message), nil, prompt, nil)
	if errors.Is(err, pgperrors.ErrKeyIncorrect) && !asked {
		return nil, errors.New("decrypting: this is encrypted to a public key, or with a cipher that is too old: " +
			"decrypt it with gpg, and encrypt it again with gpg --symmetric --cipher-algo AES256")
	}
	if err != nil {
		return nil, decryptError(err)
	}
	if !details.IsSymmetricallyEncrypted {
		return nil, errors.New("decrypting: the file is not encrypted with a passphrase, so it could be forged by anyone who can write it")
	}
	data, err := io.ReadAll(io.LimitReader(details.UnverifiedBody, maxFile+1))
	if err != nil {
		return nil, decryptError(err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("decrypting: more than %d bytes", maxFile)
	}
	return data, nil
}

// decryptError tells what the library's words do not: one wrong passphrase in
// some is seen only when the plaintext makes no sense.
func decryptError(err error) error {
	if errors.Is(err, errPassphrase) || errors.Is(err, pgperrors.ErrKeyIncorrect) {
		return errPassphrase
	}
	return fmt.Errorf("decrypting: the passphrase does not fit, or the file is damaged: %w", err)
}
