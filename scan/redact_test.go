package scan

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// buffer keeps what was written, and whether it was closed.
type buffer struct {
	bytes.Buffer
	closed bool
}

func (b *buffer) Close() error { b.closed = true; return nil }

const testPEM = "-----BEGIN KEY-----\nZmlyc3QgbGluZSBvZiB0aGUga2V5\nc2Vjb25kIGxpbmU=\n-----END KEY-----\n"

func TestRedactor(t *testing.T) {
	needles := append(Secret("password", "correct horse"), Key("key", testPEM)...)
	r := NewRedactor(append(append(needles, Secret("short", "abc123")...), Secret("word", "admin")...))
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "a line\n", "a line\n"},
		{"as it is", "got correct horse.\n", "got [redacted].\n"},
		{"in base64", base64.StdEncoding.EncodeToString([]byte("correct horse")) + "\n", ""},
		{"for URLs", "http://u:correct+horse@example.com\n", "http://u:[redacted]@example.com\n"},
		{"one line of a key", "| Zmlyc3QgbGluZSBvZiB0aGUga2V5\n", "| [redacted]\n"},
		{"a key", testPEM, "-----BEGIN KEY-----\n[redacted]\n[redacted]\n-----END KEY-----\n"},
		{"no end of the line", "correct horse", "[redacted]"},
		{"a short one", "got abc123, abc1234 and abc123\n", "got [redacted], abc1234 and [redacted]\n"},
		{"a word", "user admin password=admin\n", "user admin password=[redacted]\n"},
		{"what is shorter than any secret", "correct", "correct"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want != "" && r.String(tt.text) != tt.want {
				t.Errorf("got %q, want %q", r.String(tt.text), tt.want)
			}
			if strings.Contains(r.String(tt.text), tt.text) && strings.Contains(tt.name, "base64") {
				t.Errorf("%q stays", tt.text)
			}
			// However it is cut.
			for cut := range len(tt.text) {
				var out buffer
				w := r.Writer(&out)
				for _, part := range []string{tt.text[:cut], tt.text[cut:]} {
					if n, err := w.Write([]byte(part)); err != nil || n != len(part) {
						t.Fatalf("wrote %d: %v", n, err)
					}
				}
				if err := w.Close(); err != nil || !out.closed {
					t.Fatalf("closed %v: %v", out.closed, err)
				}
				if out.String() != r.String(tt.text) {
					t.Fatalf("cut at %d: %q", cut, out.String())
				}
			}
		})
	}
}

// A line of any length neither fills the memory nor hides a secret.
func TestRedactorLongLine(t *testing.T) {
	r := NewRedactor(Secret("password", "correct horse"))
	var out buffer
	w := r.Writer(&out)
	for range 5 * maxLine / 1000 {
		for _, part := range []string{strings.Repeat("x", 991), "correct", " horse"} {
			if _, err := w.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if kept := len(w.(*redacting).rest); kept > maxLine+1000 {
		t.Errorf("it keeps %d bytes", kept)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "horse") || out.Len() < 4*maxLine {
		t.Errorf("%d bytes, a secret in them: %v", out.Len(), strings.Contains(out.String(), "horse"))
	}
}

func TestNilRedactor(t *testing.T) {
	var r *Redactor
	var out buffer
	if w := r.Writer(&out); w != &out || r.String("correct horse") != "correct horse" {
		t.Error("it changes texts")
	}
}
