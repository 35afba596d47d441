package vault

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// hidden, embedded, makes a type print as a placeholder everywhere: fmt with
// any verb, slog, JSON, YAML. It is not enough alone, for fmt prints an
// unexported field of another struct without asking the methods of its type.
// What is secret also has to be a [secret].
type hidden struct{}

// Format writes a placeholder, whatever the verb.
func (hidden) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns a placeholder.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder, to JSON too.
func (hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// secret is a text that no printing shows, wherever it is. The pointer is to a
// string, for fmt prints its address; one to a struct it follows when the verb
// does not fit. The zero value is empty.
type secret struct {
	hidden
	text *string
}

func newSecret(text string) secret { return secret{text: &text} }

func (s secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// redact takes secrets out of what another program said.
func redact(words string, secrets ...string) string {
	for _, s := range secrets {
		if s != "" {
			words = strings.ReplaceAll(words, s, redacted)
		}
	}
	return words
}
