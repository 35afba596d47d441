package ansible

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// Ansible breaks its warnings at 79 columns, in the middle of a path too.
func TestUnwrapped(t *testing.T) {
	for name, test := range map[string]struct{ said, want string }{
		"between words":      {"[WARNING]:  * Failed to parse /a/inv with ini plugin: not\nenough values to unpack\n", "[WARNING]:  * Failed to parse /a/inv with ini plugin: not enough values to unpack"},
		"after a hyphen":     {"[WARNING]: Unable to parse /a/web-\nservers as an inventory\n", "[WARNING]: Unable to parse /a/web-servers as an inventory"},
		"at a dash":          {"[WARNING]: one -\ntwo\n", "[WARNING]: one - two"},
		"within a long word": {"[WARNING]:\n" + strings.Repeat("a", 79) + "\nb is bad\n", "[WARNING]: " + strings.Repeat("a", 79) + "b is bad"},
		"two warnings":       {"[WARNING]: one\n[WARNING]: two\n", "[WARNING]: one\n[WARNING]: two"},
		"an error's lines":   {"[WARNING]: one\nERROR! bad\n  at line 3\n", "[WARNING]: one\nERROR! bad\n  at line 3"},
	} {
		if got := unwrapped(test.said); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// What ansible warns about in a run that succeeds is shown, once, and not what
// is usual in a build.
func TestRepeat(t *testing.T) {
	var b strings.Builder
	w := warnings{log: slog.New(slog.NewTextHandler(&b, nil))}
	for range 2 {
		w.repeat("[WARNING]: cmdb is slow\n[WARNING]: provided hosts list is empty, only localhost is available\n")
	}
	if lines := slices.Collect(strings.Lines(b.String())); len(lines) != 1 || !strings.Contains(lines[0], "ansible: cmdb is slow") {
		t.Errorf("logged %q", lines)
	}
}
