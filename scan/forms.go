package scan

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

const (
	// minSecret is how many bytes a secret has that is looked for: shorter
	// ones stand in files by chance.
	minSecret = 8
	// maxSecret bounds what is looked for of a long one.
	maxSecret = 32 << 10
)

// Secret returns the needles that find a secret as it is, and in the forms
// that programs write it in: quoted for JSON, encoded for URLs, in base64 with
// any number of bytes before it, in hexadecimal digits.
func Secret(name, secret string) []Needle {
	secret = strings.TrimSpace(secret)
	if len(secret) > maxSecret {
		secret = secret[:maxSecret]
	}
	if len(secret) < minSecret {
		return nil
	}
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)),
		strings.ReplaceAll(secret, "\n", "\r\n"), quoted(secret)}
	for before := range 3 {
		forms = append(forms, inBase64(base64.RawStdEncoding, secret, before), inBase64(base64.RawURLEncoding, secret, before))
	}
	var needles []Needle
	seen := map[string]bool{}
	for _, form := range forms {
		if !seen[form] {
			seen[form] = true
			needles = append(needles, Needle{Name: name, Text: form})
		}
	}
	return needles
}

// Key returns the needles that find a private key in PEM, whatever is around
// it and however its lines are put together.
func Key(name, pem string) []Needle {
	needles := Secret(name, pem)
	var body []string
	for line := range strings.Lines(pem) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "-----") && !strings.Contains(line, ":") {
			body = append(body, line)
		}
	}
	for _, separator := range []string{"\n", ""} {
		needles = append(needles, Secret(name, strings.Join(body, separator))...)
	}
	return needles
}

// quoted is the secret as in a JSON string.
func quoted(secret string) string {
	text, err := json.Marshal(secret)
	if err != nil || len(text) < 2 {
		return secret
	}
	return string(text[1 : len(text)-1])
}

// inBase64 is what of the encoding does not depend on what stands before the
// secret, so many bytes, or after it.
func inBase64(encoding *base64.Encoding, secret string, before int) string {
	text := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))
	const bits = 6
	first := (before*8 + bits - 1) / bits
	last := (before + len(secret)) * 8 / bits
	return text[first:last]
}
