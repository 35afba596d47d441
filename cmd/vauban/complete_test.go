package main

import (
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	t.Setenv("UPLOAD_DIR", "")
	state, cfg := published(t, older), configFile(t, good)
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"build", ""}, "base/iso web"},
		{[]string{"build", "web", ""}, "base/iso"},
		{[]string{"releases", ""}, "web"},
		{[]string{"releases", "web", ""}, ""},
		{[]string{"build", "--stage", ""}, "rootfs conffs initramfs all"},
		{[]string{"tree", "--output", ""}, "text json dot mermaid"},
		{[]string{"boot", "web", "--host", ""}, "web01"},
		{[]string{"build", "web", "--limit", "w"}, "web01"},
	} {
		// What the shell's script calls.
		args := append([]string{"__complete", "--config", cfg, "--state", state}, tt.words...)
		code, out, errs := vauban(t, args...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		got := strings.Join(lines[:len(lines)-1], " ") // the last is a directive
		if code != 0 || got != tt.want {
			t.Errorf("%q: exit code %d, %q, want %q; stderr %q", tt.words, code, got, tt.want, errs)
		}
	}
}
