package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/config"
	"vauban/release"
)

// The run tells publishing what it was asked for by hand.
func TestReleaseOfARun(t *testing.T) {
	conffs := Conffs{All: []string{"h1", "h2", "h3"}, Hosts: []HostConffs{{Name: "h1", Path: "f"}, {Name: "h2", Failed: "failed"}}}
	r := &Runner{Options: Options{Limit: "h1,h2", RemoveHosts: true, Version: "test"}, Tag: "tag"}
	m := &config.Master{Name: "web"}
	got := (&releaseTask{job: r.job(nil), master: m, conffs: &conffs}).release()
	if !got.Some || !got.RemoveHosts || !cmp.Equal(got.Failed, []string{"h2"}) || len(got.Conffs) != 1 || !cmp.Equal(got.Hosts, conffs.All) {
		t.Errorf("got %+v", got)
	}
	if (&releaseTask{job: (&Runner{}).job(nil), master: m}).release().Some {
		t.Error("all hosts were asked for")
	}
}

func TestHostNotices(t *testing.T) {
	p := &release.Published{Removed: []string{"h1"}}
	p.Leaving, p.Missing = []string{"h2", "h3"}, []string{"h4"}
	got := strings.Join(hostNotices(p), "\n")
	for _, want := range []string{"no longer has them: h1", "no longer has h2, h3", "--remove-hosts", "no conffs of h4"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if got := hostNotices(&release.Published{}); got != nil {
		t.Errorf("got %q", got)
	}
}
