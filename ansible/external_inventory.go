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

	"vauban/ansible/repository"
	"vauban/internal/command"
	"vauban/internal/memo"
)

// externalInventories are those that are not in the repository. No commit shows
// their changes.
type externalInventories struct {
	repo      *repository.Repository
	arguments arguments
	environ   []string
	dir       string // the user's folder
	files     locator

	found memo.Memo[string, map[string]digest.Digest] // by commit
}

// digests are those of the inventories that a commit names, with the variables
// next to them. A folder counts as a whole.
func (x *externalInventories) digests(ctx context.Context, commit string) (map[string]digest.Digest, error) {
	return x.found.Get(commit, func() (map[string]digest.Digest, error) {
		names, err := x.names(ctx, commit)
		if err != nil {
			return nil, err
		}
		found := map[string]digest.Digest{}
		for _, name := range names {
			place, err := x.find(ctx, commit, name)
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

// names are the inventories that ansible reads at a commit, as they were named:
// asking ansible itself would take a working copy and a second.
func (x *externalInventories) names(ctx context.Context, commit string) ([]string, error) {
	if names := inventoriesIn(x.arguments); len(names) > 0 {
		return names, nil
	}
	if list := x.getenv("ANSIBLE_INVENTORY"); list != "" {
		return strings.Split(list, ","), nil
	}
	dir, text, err := x.configuration(ctx, commit)
	if err != nil {
		return nil, err
	}
	list := inventorySetting(text)
	if list == "" {
		return []string{"/etc/ansible/hosts"}, nil // ansible's default
	}
	names := strings.Split(list, ",")
	for i, name := range names {
		name = os.Expand(strings.TrimSpace(name), x.getenv)
		name = strings.TrimPrefix(strings.ReplaceAll(name, "{{CONFIG_DIR}}", cmp.Or(dir, ".")), "./")
		if dir != "" && !filepath.IsAbs(name) && !strings.HasPrefix(name, "~") {
			name = filepath.Join(dir, name)
		}
		names[i] = name
	}
	return names, nil
}

func (x *externalInventories) getenv(name string) string { return command.Getenv(x.environ, name) }

// configuration is the ansible.cfg that ansible reads at a commit, and the
// folder it is in; "" for the repository's own.
func (x *externalInventories) configuration(ctx context.Context, commit string) (dir, text string, err error) {
	configs := []string{filepath.Join(x.getenv("HOME"), ".ansible.cfg"), "/etc/ansible/ansible.cfg"}
	if set := x.getenv("ANSIBLE_CONFIG"); set != "" {
		if !filepath.IsAbs(set) {
			set = filepath.Join(x.dir, set)
		}
		configs = []string{set}
	} else if own, found, err := x.repo.File(ctx, commit, x.inTree("ansible.cfg")); err != nil || found {
		return "", own, err
	}
	for _, file := range configs {
		content, err := os.ReadFile(file)
		if err == nil {
			return filepath.Dir(file), string(content), nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", "", err
		}
	}
	return "", "", nil
}

// inTree is a path of the repository, of one relative to where ansible runs.
func (x *externalInventories) inTree(name string) string {
	return path.Join(filepath.ToSlash(x.repo.RootDir()), name)
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

// find finds a named inventory where a run does, see [locator]; "" for one in
// the repository, or for a missing one.
func (x *externalInventories) find(ctx context.Context, commit, name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		name = filepath.Join(x.getenv("HOME"), rest)
	}
	if filepath.IsAbs(name) {
		if exists(name) {
			return name, nil
		}
		return "", nil
	}
	if inTree := x.inTree(name); filepath.IsLocal(inTree) {
		if found, err := x.repo.Has(ctx, commit, inTree); err != nil || found {
			return "", err
		}
	}
	return x.files.outside(name), nil
}

// digestInventory covers a folder with all below it, or a file with the folders
// of variables next to it.
func digestInventory(place string) (digest.Digest, error) {
	all := sha256.New()
	trees := []string{place}
	if isFile(place) {
		for _, folder := range []string{"group_vars", "host_vars"} {
			trees = append(trees, filepath.Join(filepath.Dir(place), folder))
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
