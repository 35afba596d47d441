package ansible

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const listing = `
playbook: /tmp/x/hosts.yml

  play #1 (all): all	TAGS: []
    pattern: ['all']
    hosts (2):
      web1
      web2
`

func TestParseHostLists(t *testing.T) {
	got, err := parseHostLists(listing)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"web1", "web2"}}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "hosts (x):\n", "    hosts (3):\n      a\n", strings.Replace(listing, "(2)", "(-1)", 1)} {
		if got, err := parseHostLists(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func FuzzParseHostLists(f *testing.F) {
	f.Add(listing)
	f.Add("hosts (9999999999999):\n")
	f.Fuzz(func(t *testing.T, out string) {
		lists, err := parseHostLists(out)
		if hosts := slices.Concat(lists...); err == nil && len(hosts) > strings.Count(out, "\n")+1 {
			t.Errorf("%d hosts out of %q", len(hosts), out)
		}
	})
}

func TestExcludes(t *testing.T) {
	p := HostPattern{Without: []string{"declared"}}
	for host, want := range map[string]bool{
		"web1": false, "declared": true, "master-12-web": true, "localhost": true, "webmaster-1": false,
	} {
		if got := p.excludes(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}
