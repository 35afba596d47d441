package ansible

import (
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
)

func TestKey(t *testing.T) {
	repo := gittest.Repository(t, map[string]string{"play.yml": "1"})
	gittest.Run(t, repo, "tag", "one")
	gittest.Commit(t, repo, map[string]string{"play.yml": "2"})
	r := open(t, Options{Repository: repository.Options{Repo: repo}})
	c1, c2 := revision(t, r, "one").Commit, revision(t, r, "").Commit
	key := func(host string, change func(*PlaybookOptions)) digest.Digest {
		t.Helper()
		o := PlaybookOptions{Revision: repository.Revision{Branch: "main", Commit: c1}, Path: "play.yml", Master: "m", Conffs: host != "", Hosts: []string{"web1", "web2"}}
		change(&o)
		d, err := r.Playbook(o).Key(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	same := func(*PlaybookOptions) {}
	together := func(o *PlaybookOptions) { o.Mode = Together }
	base := key("web1", same)
	for name, other := range map[string]digest.Digest{
		"another host":   key("web2", same),
		"the master":     key("", same),
		"another commit": key("web1", func(o *PlaybookOptions) { o.Revision.Commit = c2 }),
		"another path":   key("web1", func(o *PlaybookOptions) { o.Path = "x.yml" }),
		"facts":          key("web1", func(o *PlaybookOptions) { o.Facts = map[string]any{"x": 1} }),
		"init":           key("web1", func(o *PlaybookOptions) { o.Init = "systemd" }),
		"together":       key("web1", together),
	} {
		if other == base {
			t.Errorf("%s has the same key", name)
		}
	}
	for name, other := range map[string]digest.Digest{
		"another branch at this commit": key("web1", func(o *PlaybookOptions) { o.Revision.Branch = "x" }),
		"another neighbour":             key("web1", func(o *PlaybookOptions) { o.Hosts = []string{"web1", "web3"} }),
		"independent by name":           key("web1", func(o *PlaybookOptions) { o.Mode = Independent }),
	} {
		if other != base {
			t.Errorf("%s has another key", name)
		}
	}
	neighbour := key("web1", func(o *PlaybookOptions) { o.Mode, o.Hosts = Together, []string{"web1", "web3"} })
	if neighbour == key("web1", together) {
		t.Error("under together, another neighbour has the same key")
	}
	order := key("web1", func(o *PlaybookOptions) { o.Mode, o.Hosts = Together, []string{"web2", "web1"} })
	if order != key("web1", together) {
		t.Error("the order of hosts is in the key")
	}
}
