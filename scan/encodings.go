package scan

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

const (
	// minSecret is how many bytes a secret has that is looked for anywhere:
	// shorter ones are in files by chance.
	minSecret = 8
	// maxSecret bounds what is looked for of a long one.
	maxSecret = 32 << 10
)

// Secret returns the needles that find a secret as it is, and in the forms
// that programs write it in: quoted for JSON, encoded for URLs, in base64 with
// any number of bytes before it, in hexadecimal digits.
//
// One of fewer than eight bytes is found as a whole word of a text. If it may
// be an ordinary word or number, it is found as the value of a credential only.
// One that is [TooShort] is not looked for.
func Secret(name, secret string) []Needle {
	secret = strings.TrimSpace(secret)
	if len(secret) > maxSecret {
		secret = secret[:maxSecret]
	}
	switch {
	case TooShort(secret):
		return nil
	case len(secret) < minSecret:
		return []Needle{{Name: name, Text: secret, Word: !IsOrdinary(secret), Value: IsOrdinary(secret)}}
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

// TooShort reports that a secret has too few bytes to be looked for.
func TooShort(secret string) bool { return len(strings.TrimSpace(secret)) < MinText }

// ordinary are words (also in capitals or with one), numbers, and several of
// them with dots, dashes, slashes or underscores in between.
var ordinary = regexp.MustCompile(`^([a-z]+|[A-Z][a-z]+|[A-Z]+|[0-9]+)([._/-]+([a-z]+|[A-Z][a-z]+|[A-Z]+|[0-9]+))*$`)

// IsOrdinary tells words and numbers from what has been made up.
func IsOrdinary(secret string) bool { return ordinary.MatchString(secret) }

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
