package main

import (
	"testing"

	"vauban/config"
)

func TestReference(t *testing.T) {
	cfg, err := config.Load(configFile(t, "bookworm:\n  release: bookworm\n  name: debian-12/iso\n  Web:\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{cfg: cfg}
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, tt := range []struct{ reference, name, tag string }{
		{"bookworm", "debian-12/iso", "latest"},
		{"debian-12/iso:2026-11-20T211348Z", "debian-12/iso", "2026-11-20T211348Z"},
		{"Web", "web", "latest"},
		{"Web/Host01:deployed", "web/host01", "deployed"},
		{"Web@" + digest, "web", digest},
		{"debian-12/raw-iso", "debian-12/raw-iso", "latest"},
	} {
		if name, tag := s.reference(tt.reference); name != tt.name || tag != tt.tag {
			t.Errorf("%s is %s and %s, want %s and %s", tt.reference, name, tag, tt.name, tt.tag)
		}
	}
}
