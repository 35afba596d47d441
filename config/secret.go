package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that no message, log, or encoding shows; only Reveal does.
// The zero Secret is empty.
type Secret struct {
	// A pointer, for fmt prints the fields of unexported structs around a
	// Secret without asking its methods, and an address tells nothing.
	value *string
}

const redacted = "[redacted]"

// NewSecret keeps value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the secret itself, for those who need it to log in or decrypt.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// Format writes a placeholder whatever the verb. Without it, a verb that does
// not fit, as %d, would have fmt print the value to show what is wrong.
func (s Secret) Format(f fmt.State, verb rune) {
	placeholder := redacted
	if verb == 'q' {
		placeholder = fmt.Sprintf("%q", redacted)
	}
	io.WriteString(f, placeholder)
}

// MarshalText returns a placeholder, to JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML returns a placeholder.
func (s Secret) MarshalYAML() (any, error) { return redacted, nil }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
