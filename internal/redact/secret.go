// Package redact keeps secrets out of what people and programs read.
package redact

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Mark stands for a secret in a text.
const Mark = "[redacted]"

// Text takes secrets out of what another program said.
func Text(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, Mark)
		}
	}
	return text
}

// Secret is a text that no message, log, or encoding shows; only Reveal does.
// The zero Secret is empty.
type Secret struct {
	Hidden
	// A pointer, for fmt prints the fields of unexported structs around a
	// Secret without asking its methods, and an address tells nothing.
	value *string
}

// NewSecret keeps value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal returns the secret itself, for those who need it to log in or decrypt.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Hidden, embedded, makes a type print as a placeholder everywhere: fmt with
// any verb, slog, JSON, YAML. It is not enough alone, for fmt prints an
// unexported field of another struct without asking the methods of its type.
// What is secret also has to be a [Secret].
type Hidden struct{}

// String returns a placeholder.
func (Hidden) String() string { return Mark }

// GoString returns a placeholder.
func (Hidden) GoString() string { return Mark }

// Format writes a placeholder whatever the verb. Without it, a verb that does
// not fit, as %d, would have fmt print the value to show what is wrong.
func (Hidden) Format(f fmt.State, verb rune) {
	placeholder := Mark
	if verb == 'q' {
		placeholder = fmt.Sprintf("%q", Mark)
	}
	io.WriteString(f, placeholder)
}

// MarshalText returns a placeholder, to JSON too.
func (Hidden) MarshalText() ([]byte, error) { return []byte(Mark), nil }

// MarshalYAML returns a placeholder.
func (Hidden) MarshalYAML() (any, error) { return Mark, nil }

// LogValue returns a placeholder.
func (Hidden) LogValue() slog.Value { return slog.StringValue(Mark) }
