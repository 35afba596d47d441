package pipeline

import (
	"fmt"
	"slices"
	"testing"

	"vauban/ansible"
)

func TestPassedNotices(t *testing.T) {
	mount := ansible.Passed{Task: "mount it", Path: "play.yml:2", What: "mount: so"}
	var passed []ansible.Passed
	for _, host := range []string{"web1", "web2"} {
		p := mount
		p.Host = host
		passed = append(passed, p)
	}
	passed = append(passed, ansible.Passed{Host: "web2", Task: "reboot", What: "reboot: so"}, ansible.Passed{Host: "web2", More: 7})
	want := []passedNotice{
		{"", `task "mount it" (play.yml:2): mount: so, on 2 hosts`},
		{"web2", `task "reboot": reboot: so`},
		{"", "and 7 more"},
	}
	if got := passedNotices(passed); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range 150_000 {
		passed = append(passed, ansible.Passed{Host: "web3", Task: "note", What: fmt.Sprint(i)})
	}
	got := passedNotices(passed)
	if last := got[len(got)-1]; len(got) != maxNotices+1 || last.text != fmt.Sprintf("and %d more", 150_000-(maxNotices-2)+7) {
		t.Errorf("%d notices, the last is %q", len(got), last.text)
	}
}
