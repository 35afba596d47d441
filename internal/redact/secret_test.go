package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestSecretShowsNowhere prints a secret in every way there is; next to it goes
// a canary, which must come out, else the test would see nothing at all.
func TestSecretShowsNowhere(t *testing.T) {
	const value, canary = "s3cr3t-value", "canary"
	type open struct {
		Canary string
		Secret Secret
	}
	type closed struct {
		canary string
		secret Secret
	}
	visible, hidden := open{canary, NewSecret(value)}, closed{canary, NewSecret(value)}
	printed := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%10.3s"} {
		printed[verb+" exported"] = fmt.Sprintf(verb, visible)
		printed[verb+" unexported"] = fmt.Sprintf(verb, hidden)
		printed[verb+" pointer"] = fmt.Sprintf(verb, &visible)
		printed[verb+" alone"] = canary + fmt.Sprintf(verb, visible.Secret)
	}
	asJSON, err := json.Marshal(visible)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(visible)
	if err != nil {
		t.Fatal(err)
	}
	printed["json"], printed["yaml"] = string(asJSON), string(asYAML)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info(canary, "alone", visible.Secret, "within", visible)
	slog.New(slog.NewJSONHandler(&log, nil)).Info(canary, "alone", visible.Secret, "within", visible)
	printed["slog"] = log.String()
	printed["error"] = fmt.Errorf("%s: %w", canary, fmt.Errorf("logging in with %v", visible.Secret)).Error()

	hexCanary := fmt.Sprintf("%x", canary)
	for way, text := range printed {
		if !strings.Contains(text, canary) && !strings.Contains(text, hexCanary) && !strings.Contains(text, canary[:3]) {
			t.Errorf("%s: the canary is not in %q", way, text)
		}
		if strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) || strings.Contains(text, value[:3]) {
			t.Errorf("%s shows the secret: %q", way, text)
		}
	}
	if got := visible.Secret.Reveal(); got != value {
		t.Errorf("Reveal() = %q, want %q", got, value)
	}
	if got := (Secret{}).Reveal(); got != "" {
		t.Errorf("Reveal() of the zero Secret = %q", got)
	}
}
