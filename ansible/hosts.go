package ansible

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"vauban/ansible/repository"
)

// HostPattern selects hosts of the inventory.
type HostPattern struct {
	// Pattern is what ansible's --limit takes.
	Pattern string
	// Master is whose hosts they are; hooks see it.
	Master string
	// Without are names to leave out, besides master-* and localhost.
	Without []string
}

// Hosts returns the hosts that a pattern matches in a revision's inventory,
// expanded by ansible itself, sorted. No host is an [ErrNoHosts].
func (c *Controller) Hosts(ctx context.Context, rev repository.Revision, p HostPattern) (hosts []string, err error) {
	w, err := c.workspace(ctx, rev.Commit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.remove()) }()
	if err := c.hooks.runBefore(ctx, w, occasion{master: p.Master, hosts: p.Pattern}, nil); err != nil {
		return nil, err
	}
	all, err := c.match(ctx, w.Copy, p.Pattern)
	if err != nil {
		return nil, fmt.Errorf("expanding the pattern %q on branch %q: %w", p.Pattern, rev.Branch, err)
	}
	hosts = slices.DeleteFunc(slices.Clone(all), p.excludes)
	if len(hosts) == 0 {
		return nil, fmt.Errorf("the pattern %q matches %w on branch %q%s: correct `conffs:` or the inventory",
			p.Pattern, ErrNoHosts, rev.Branch, excluded(all))
	}
	return hosts, nil
}

// match lists the hosts of an empty play that a pattern limits, sorted.
func (c *Controller) match(ctx context.Context, wc *repository.Copy, pattern string) ([]string, error) {
	playbook := filepath.Join(wc.Dir, "hosts.yml")
	if err := os.WriteFile(playbook, []byte("- hosts: all\n  gather_facts: false\n"), 0o600); err != nil {
		return nil, err
	}
	s, err := c.session(ctx, wc)
	if err != nil {
		return nil, err
	}
	lists, err := s.listHosts(ctx, playbook, "--limit", pattern)
	if err != nil {
		if matchesNothing(err) {
			return nil, nil
		}
		return nil, err
	}
	slices.Sort(lists[0]) // "&" in a pattern leaves them in any order
	return lists[0], nil
}

// ErrNoHosts: a pattern matches none that can be built.
var ErrNoHosts = errors.New("no host of the inventory")

func excluded(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(" (only %s, which are not hosts to build)", strings.Join(names, ", "))
}

func (p HostPattern) excludes(host string) bool {
	if slices.Contains(p.Without, host) {
		return true
	}
	// localhost is the builder
	for _, pattern := range []string{"master-*", "localhost", "127.0.0.1", "::1"} {
		if ok, _ := path.Match(pattern, host); ok {
			return true
		}
	}
	return false
}

// matchesNothing reports whether an error is one of ansible's two refusals of an
// empty selection.
func matchesNothing(err error) bool {
	if strings.Contains(err.Error(), unparsed) {
		return false // the source that failed may have them
	}
	return strings.Contains(err.Error(), "leaves us with no hosts to target") ||
		strings.Contains(err.Error(), "does not match any hosts")
}

// parseHostLists reads `ansible-playbook --list-hosts`: for each play a line
// "hosts (N):" and one name on each of the N next lines.
func parseHostLists(out string) ([][]string, error) {
	lines := strings.Split(out, "\n")
	var lists [][]string
	for i := 0; i < len(lines); i++ {
		number, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "hosts (")
		number, ok2 := strings.CutSuffix(number, "):")
		if !ok || !ok2 {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > len(lines)-i-1 {
			lists = nil
			break
		}
		hosts := make([]string, 0, n)
		for _, name := range lines[i+1 : i+1+n] {
			hosts = append(hosts, strings.TrimSpace(name))
		}
		lists = append(lists, hosts)
		i += n
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("reading ansible's list of hosts: no such list in %q", out)
	}
	return lists, nil
}
