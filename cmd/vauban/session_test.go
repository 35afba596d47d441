package main

import (
	"errors"
	"testing"

	"vauban/config"
	"vauban/pipeline"
)

// TestExplain: who asks for an image that is not there learns how to get it.
func TestExplain(t *testing.T) {
	cfg, err := config.Load(configFile(t, "bookworm:\n  web:\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &session{cfg: cfg}
	other := errors.New("other")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&pipeline.MissingError{Name: "web", Tag: "latest"}, `image "web" has never been built: vauban build web`},
		{&pipeline.MissingError{Name: "wbe", Tag: "latest"}, `no image "wbe", did you mean "web"?`},
		{&pipeline.MissingError{Name: "nope", Tag: "latest"}, `no image "nope"; vauban images lists them`},
		{&pipeline.MissingError{Name: "web", Tag: "old"}, `image "web" has no tag "old"; vauban images lists what is here`},
		{other, "other"},
	} {
		if got := s.explain(tt.err); got.Error() != tt.want {
			t.Errorf("%v: %v, want %s", tt.err, got, tt.want)
		}
	}
}

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
