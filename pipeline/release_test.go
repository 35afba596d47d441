package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/config"
	"vauban/export"
	"vauban/layers"
)

// The run tells publishing what it was asked for by hand.
func TestReleaseOfARun(t *testing.T) {
	img := layers.Image{}
	failed := errors.New("failed")
	p := &parts{image: &img, allHosts: []string{"h1", "h2", "h3"}, hosts: []host{{name: "h1", file: "f"}, {name: "h2", err: failed}}}
	r := &Runner{Options: Options{Limit: "h1,h2", RemoveHosts: true, Version: "test"}, Tag: "tag", identities: NewIdentities(nil, nil)}
	got := r.release(&config.Master{Name: "web"}, p)
	if !got.Some || !got.RemoveHosts || !cmp.Equal(got.Failed, []string{"h2"}) || len(got.Conffs) != 1 || !cmp.Equal(got.Hosts, p.allHosts) {
		t.Errorf("got %+v", got)
	}
	if (&Runner{identities: NewIdentities(nil, nil)}).release(&config.Master{}, &parts{}).Some {
		t.Error("all hosts were asked for")
	}
}

func TestHostNotices(t *testing.T) {
	p := &export.Published{Removed: []string{"h1"}}
	p.Leaving, p.Missing = []string{"h2", "h3"}, []string{"h4"}
	got := strings.Join(hostNotices(p), "\n")
	for _, want := range []string{"no longer has them: h1", "no longer has h2, h3", "--remove-hosts", "no conffs of h4"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if got := hostNotices(&export.Published{}); got != nil {
		t.Errorf("got %q", got)
	}
}
