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
	"gopkg.in/yaml.v3"

	"vauban/ansible/repository"
	"vauban/internal/command"
)

// Kept keeps small documents by name, so that what was found out once is not
// found out again.
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
func (r *Controller) Expand(ctx context.Context, rev repository.Revision, kept Kept, patterns ...HostPattern) ([][]string, error) {
	all := make([][]string, len(patterns))
	found := map[string][]string{}
	var shared []string
	for i, p := range patterns {
		if r.options.HookPre == "" && !strings.HasPrefix(p.Pattern, "@") {
			shared = append(shared, p.Pattern)
			continue
		}
		hosts, err := r.Hosts(ctx, rev, p)
		if err != nil && !errors.Is(err, ErrNoHosts) {
			return nil, err
		}
		all[i] = slices.Sorted(slices.Values(hosts))
	}
	if len(shared) > 0 {
		var err error
		if found, err = r.expand(ctx, rev, kept, slices.Compact(slices.Sorted(slices.Values(shared)))); err != nil {
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
func (r *Controller) expand(ctx context.Context, rev repository.Revision, kept Kept, patterns []string) (map[string][]string, error) {
	key, err := r.inventoryKey(rev, patterns)
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
	w, err := r.workspace(ctx, rev.Commit)
	if err != nil {
		return nil, err
	}
	found, static, err := r.expandIn(ctx, w.Copy, patterns)
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

func (r *Controller) expandIn(ctx context.Context, c *repository.Copy, patterns []string) (found map[string][]string, static bool, err error) {
	playbook := filepath.Join(c.Dir, "hosts.yml")
	var plays []map[string]any
	for _, pattern := range patterns {
		plays = append(plays, map[string]any{"hosts": pattern, "gather_facts": false})
	}
	if err := writeJSON(playbook, plays); err != nil { // YAML reads JSON
		return nil, false, err
	}
	s, err := r.readSettings(ctx, c)
	if err != nil {
		return nil, false, err
	}
	args := r.arguments(c)
	inventories := r.inventories(c, args, s)
	args = append(args, inventories...)
	out, err := r.quietWith(ctx, c, r.listEnviron(c, s), "ansible-playbook", append(args, "--list-hosts", playbook)...)
	if err != nil {
		return nil, false, err
	}
	lists, err := parseHostLists(out)
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
	return found, isStatic(c, args), nil
}

// inventoryKey digests what hosts depend on when the inventory is static.
func (r *Controller) inventoryKey(rev repository.Revision, patterns []string) (string, error) {
	files, err := r.argumentFiles()
	if err != nil {
		return "", err
	}
	var environ []string
	for _, entry := range r.options.Repository.Environ {
		if strings.HasPrefix(entry, "ANSIBLE_") {
			environ = append(environ, entry)
		}
	}
	configs := map[string]digest.Digest{}
	for _, path := range []string{command.Getenv(environ, "ANSIBLE_CONFIG"), filepath.Join(command.Getenv(r.options.Repository.Environ, "HOME"), ".ansible.cfg"), "/etc/ansible/ansible.cfg"} {
		content, err := os.ReadFile(path)
		switch {
		case err == nil:
			configs[path] = digest.FromBytes(content)
		case path != "" && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("reading ansible's configuration: %w", err)
		}
	}
	key, err := json.Marshal([]any{2, r.Repository.URL(), rev.Commit, r.options.Repository.RootDir, r.options.Program, r.extraArgs, files, environ, configs, patterns})
	return digest.FromBytes(key).Encoded(), err
}

// isStatic tells whether the inventories that the arguments name are plain
// files of the working copy, or lists of hosts.
func isStatic(c *repository.Copy, args []string) bool {
	for _, name := range inventoriesIn(args) {
		if !strings.Contains(name, ",") && !isPlainInventory(c, name) {
			return false
		}
	}
	return true
}

// inventoriesIn are the values of the options that name inventories.
func inventoriesIn(args []string) (names []string) {
	for i, arg := range args {
		value := ""
		switch {
		case slices.Contains(inventoryOptions, arg) && i+1 < len(args):
			value = args[i+1]
		case hasOption([]string{arg}, inventoryOptions):
			_, value, _ = strings.Cut(arg, "=")
			if !strings.HasPrefix(arg, "--") {
				value = strings.TrimPrefix(arg, "-i")
			}
		default:
			continue
		}
		names = append(names, value)
	}
	return names
}

func isPlainInventory(c *repository.Copy, path string) bool {
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.Root, path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	top, err := filepath.EvalSymlinks(c.Tree)
	if err != nil || !strings.HasPrefix(real, top+"/") {
		return false
	}
	return filepath.WalkDir(real, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() && info.Mode()&0o111 != 0 || asksPlugin(path) {
			return errDynamic
		}
		return nil
	}) == nil
}

var errDynamic = errors.New("hosts that another time may be others")

// asksPlugin tells whether a file configures an inventory plugin, which may ask
// a server. "constructed" does not.
func asksPlugin(path string) bool {
	if ext := filepath.Ext(path); ext != ".yml" && ext != ".yaml" && ext != ".json" {
		return false // plugins want one of these
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "plugin") {
		return err != nil
	}
	var document map[string]yaml.Node
	if yaml.Unmarshal(data, &document) != nil {
		return true
	}
	plugin, ok := document["plugin"]
	return ok && plugin.Value != "constructed" && plugin.Value != "ansible.builtin.constructed"
}
