package ansible

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/ansible/repository"
	"vauban/internal/command"
)

// Kept keeps small documents by name, so that nothing is found out twice.
type Kept interface {
	// Get is nil where there is none.
	Get(ctx context.Context, name string) ([]byte, error)
	Put(ctx context.Context, name string, data []byte) error
}

// Expand gives the hosts that each of several patterns matches in a revision's
// inventory, none for a pattern that matches nothing. One ansible process
// expands them all; what it found is kept, by commit, unless the inventory is a
// program or asks a server. With a hook before ansible, which may write an
// inventory for each master, each pattern has a process of its own and nothing
// is kept.
func (c *Controller) Expand(ctx context.Context, rev repository.Revision, kept Kept, patterns ...HostPattern) ([][]string, error) {
	all := make([][]string, len(patterns))
	found := map[string][]string{}
	var shared []string
	for i, p := range patterns {
		if c.hooks.before == "" && !strings.HasPrefix(p.Pattern, "@") {
			shared = append(shared, p.Pattern)
			continue
		}
		hosts, err := c.Hosts(ctx, rev, p)
		if err != nil && !errors.Is(err, ErrNoHosts) {
			return nil, err
		}
		all[i] = slices.Sorted(slices.Values(hosts))
	}
	if len(shared) > 0 {
		var err error
		if found, err = c.expand(ctx, rev, kept, slices.Compact(slices.Sorted(slices.Values(shared)))); err != nil {
			return nil, err
		}
	}
	for i, p := range patterns {
		if all[i] == nil {
			all[i] = slices.DeleteFunc(slices.Sorted(slices.Values(found[p.Pattern])), p.excludes)
		}
	}
	return all, nil
}

// expand takes patterns without repetition.
func (c *Controller) expand(ctx context.Context, rev repository.Revision, kept Kept, patterns []string) (map[string][]string, error) {
	key, err := c.inventoryKey(rev, patterns)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	data, err := kept.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if data != nil && json.Unmarshal(data, &found) == nil && len(found) == len(patterns) {
		return found, nil
	}
	w, err := c.workspace(ctx, rev.Commit)
	if err != nil {
		return nil, err
	}
	found, static, err := c.expandIn(ctx, w.Copy, patterns)
	if err := errors.Join(err, w.remove()); err != nil {
		return nil, fmt.Errorf("reading the inventory on branch %q: %w", rev.Branch, err)
	}
	if !static {
		return found, nil
	}
	if data, err = json.Marshal(found); err != nil {
		return nil, err
	}
	return found, kept.Put(ctx, key, data)
}

func (c *Controller) expandIn(ctx context.Context, wc *repository.Copy, patterns []string) (found map[string][]string, static bool, err error) {
	playbook := filepath.Join(wc.Dir, "hosts.yml")
	var plays []map[string]any
	for _, pattern := range patterns {
		plays = append(plays, map[string]any{"hosts": pattern, "gather_facts": false})
	}
	if err := writeJSON(playbook, plays); err != nil { // YAML reads JSON
		return nil, false, err
	}
	s, err := c.session(ctx, wc)
	if err != nil {
		return nil, false, err
	}
	lists, err := s.listHosts(ctx, playbook)
	if err == nil && len(lists) != len(patterns) {
		err = fmt.Errorf("reading ansible's lists of hosts: %d for %d patterns", len(lists), len(patterns))
	}
	if err != nil {
		return nil, false, err
	}
	found = map[string][]string{}
	for i, pattern := range patterns {
		found[pattern] = lists[i]
	}
	return found, s.isStatic(), nil
}

// inventoryKey digests what hosts depend on when the inventory is static.
func (c *Controller) inventoryKey(rev repository.Revision, patterns []string) (string, error) {
	files, err := c.arguments.files(c.options.Repository.Dir)
	if err != nil {
		return "", err
	}
	var environ []string
	for _, entry := range c.options.Repository.Environ {
		if strings.HasPrefix(entry, "ANSIBLE_") {
			environ = append(environ, entry)
		}
	}
	configs := map[string]digest.Digest{}
	for _, path := range []string{command.Getenv(environ, "ANSIBLE_CONFIG"), filepath.Join(command.Getenv(c.options.Repository.Environ, "HOME"), ".ansible.cfg"), "/etc/ansible/ansible.cfg"} {
		content, err := os.ReadFile(path)
		switch {
		case err == nil:
			configs[path] = digest.FromBytes(content)
		case path != "" && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("reading ansible's configuration: %w", err)
		}
	}
	key, err := json.Marshal([]any{2, c.Repository.URL(), rev.Commit, c.Repository.RootDir(), c.programs.playbook, c.arguments, files, environ, configs, patterns})
	return digest.FromBytes(key).Encoded(), err
}
