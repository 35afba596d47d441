package progress

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSanitize(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"plain", "ok: [web01]\nnext", "ok: [web01]\nnext"},
		{"colours", "\x1b[31;1mred\x1b[0m", "red"},
		{"moving the cursor", "a\x1b[2J\x1b[1;1Hb", "ab"},
		{"a title", "\x1b]0;title\x07text", "text"},
		{"a link, ended by ST", "\x1b]8;;http://example.com\x1b\\text\x1b]8;;\x1b\\", "text"},
		{"one-byte CSI as UTF-8", "a\u009b31mb", "ab"},
		{"a device string", "\x1bP+q544e\x1b\\text", "text"},
		{"cut", "text\x1b[3\nnext", "text\nnext"},
		{"never ended", "text\u009dtitle\nnext", "text\nnext"},
		{"a lone escape", "a\x1b", "a"},
		{"progress", "10%\r20%\r\ndone", "10%\n20%\ndone"},
		{"tabs and bells", "a\tb\a\b\x00c", "a bc"},
		{"turned around", "user\u202Etxt.exe", "usertxt.exe"},
		{"no UTF-8", "a\xffb", "a\uFFFDb"},
		{"other scripts", "日本語 é ✓", "日本語 é ✓"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Sanitize(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzSanitize(f *testing.F) {
	for _, text := range []string{"\x1b[31mred", "\x1b]0;t\x07", "\u009b1m", "a\rb", "\x1b\x1b[\x1b[0m1m", "\xc2\xc2\x9b", "\x1bP\x1b\\\x9c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Sanitize(text)
		if !utf8.ValidString(got) {
			t.Errorf("%q is no UTF-8", got)
		}
		if at := strings.IndexFunc(got, func(c rune) bool {
			return unicode.IsControl(c) && c != '\n' || unicode.Is(unicode.Bidi_Control, c)
		}); at >= 0 {
			t.Errorf("%q: the terminal would obey what is at %d", got, at)
		}
		if again := Sanitize(got); again != got {
			t.Errorf("sanitized twice %q becomes %q", got, again)
		}
	})
}
