package ansible

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/internal/command"
)

// outsideInventories digests the inventories that are not in the repository,
// with the variables beside them: no commit tells of their changes. A folder
// counts as a whole.
func (r *Controller) outsideInventories(ctx context.Context, commit string) (map[string]digest.Digest, error) {
	return r.outside.Get(commit, func() (map[string]digest.Digest, error) {
		names, err := r.inventoryNames(ctx, commit)
		if err != nil {
			return nil, err
		}
		found := map[string]digest.Digest{}
		for _, name := range names {
			place, err := r.findOutside(ctx, commit, name)
			if err != nil {
				return nil, fmt.Errorf("finding the inventory %q: %w", name, err)
			}
			if place == "" {
				continue
			}
			if found[name], err = digestInventory(place); err != nil {
				return nil, fmt.Errorf("digesting the inventory %q: %w", name, err)
			}
		}
		return found, nil
	})
}

// inventoryNames are the inventories that ansible reads at a commit, as they
// were named: asking ansible itself would take a working copy and a second.
func (r *Controller) inventoryNames(ctx context.Context, commit string) ([]string, error) {
	if names := inventoriesIn(r.extraArgs); len(names) > 0 {
		return names, nil
	}
	if list := command.Getenv(r.options.Repository.Environ, "ANSIBLE_INVENTORY"); list != "" {
		return strings.Split(list, ","), nil
	}
	dir, text := "", ""
	configs := []string{filepath.Join(command.Getenv(r.options.Repository.Environ, "HOME"), ".ansible.cfg"), "/etc/ansible/ansible.cfg"}
	if set := command.Getenv(r.options.Repository.Environ, "ANSIBLE_CONFIG"); set != "" {
		if !filepath.IsAbs(set) {
			set = filepath.Join(r.options.Repository.Dir, set)
		}
		configs = []string{set}
	} else if own, found, err := r.Repository.File(ctx, commit, path.Join(filepath.ToSlash(r.options.Repository.RootDir), "ansible.cfg")); err != nil {
		return nil, err
	} else if found {
		configs, text = nil, own
	}
	for _, file := range configs {
		content, err := os.ReadFile(file)
		if err == nil {
			dir, text = filepath.Dir(file), string(content)
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	list := inventorySetting(text)
	if list == "" {
		return []string{"/etc/ansible/hosts"}, nil // ansible's default
	}
	names := strings.Split(list, ",")
	for i, name := range names {
		name = os.Expand(strings.TrimSpace(name), func(v string) string { return command.Getenv(r.options.Repository.Environ, v) })
		name = strings.TrimPrefix(strings.ReplaceAll(name, "{{CONFIG_DIR}}", cmp.Or(dir, ".")), "./")
		if dir != "" && !filepath.IsAbs(name) && !strings.HasPrefix(name, "~") {
			name = filepath.Join(dir, name)
		}
		names[i] = name
	}
	return names, nil
}

// inventorySetting is `inventory` of the section "defaults" of an ansible.cfg,
// as Python's configparser reads it: with lines that go on below.
func inventorySetting(text string) string {
	var value []string
	inDefaults, inValue := false, false
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), " ;")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case inValue && (line[0] == ' ' || line[0] == '\t'):
			value = append(value, trimmed)
		case trimmed[0] == '[':
			inDefaults, inValue = trimmed == "[defaults]", false
		default:
			inValue = false
			if i := strings.IndexAny(trimmed, "=:"); inDefaults && i > 0 && strings.EqualFold(strings.TrimSpace(trimmed[:i]), "inventory") {
				inValue, value = true, []string{strings.TrimSpace(trimmed[i+1:])}
			}
		}
	}
	return strings.Join(value, "")
}

// findOutside finds a named inventory where a run does, see [locator];
// "" for one in the repository, or for a missing one.
func (r *Controller) findOutside(ctx context.Context, commit, name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		name = filepath.Join(command.Getenv(r.options.Repository.Environ, "HOME"), rest)
	}
	if filepath.IsAbs(name) {
		if exists(name) {
			return name, nil
		}
		return "", nil
	}
	if inTree := path.Join(filepath.ToSlash(r.options.Repository.RootDir), name); filepath.IsLocal(inTree) {
		if found, err := r.Repository.Has(ctx, commit, inTree); err != nil || found {
			return "", err
		}
	}
	return r.files.outside(name), nil
}

// digestInventory covers a folder with all below it, or a file with the folders
// of variables beside it.
func digestInventory(place string) (digest.Digest, error) {
	all := sha256.New()
	trees := []string{place}
	if isFile(place) {
		for _, beside := range []string{"group_vars", "host_vars"} {
			trees = append(trees, filepath.Join(filepath.Dir(place), beside))
		}
	}
	for i, tree := range trees {
		fmt.Fprintf(all, "tree %d\n", i)
		entries := map[string]digest.Digest{}
		if err := digestEntries(tree, "", entries, nil); err != nil {
			return "", err
		}
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			fmt.Fprintf(all, "%q %s\n", name, entries[name])
		}
	}
	return digest.NewDigest(digest.SHA256, all), nil
}

// digestEntries follows links, as ansible does; above are the folders on the
// way, so that a link to one of them ends.
func digestEntries(place, name string, found map[string]digest.Digest, above []string) error {
	real, err := filepath.EvalSymlinks(place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a link to nothing, or no such folder
	} else if err != nil {
		return err
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return err
	case info.Mode().IsRegular():
		content, err := os.ReadFile(real)
		found[name] = digest.FromBytes(content)
		return err
	case !info.IsDir() || slices.Contains(above, real) || path.Base(name) == ".git":
		return nil
	}
	found[name+"/"] = ""
	entries, err := os.ReadDir(real)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := digestEntries(filepath.Join(real, e.Name()), path.Join(name, e.Name()), found, append(slices.Clone(above), real)); err != nil {
			return err
		}
	}
	return nil
}
