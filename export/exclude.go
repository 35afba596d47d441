package export

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed exclude.txt
var defaultExclusions string

// Exclusions name what a root filesystem does not ship. They are patterns in
// the language that the head of exclude.txt explains.
type Exclusions []exclusion

type exclusion struct {
	keep  bool // the line began with "!"
	parts []string
}

// DefaultExclusions returns what never ships unless a user's list keeps it.
func DefaultExclusions() Exclusions {
	list, err := ParseExclusions("exclude.txt", strings.NewReader(defaultExclusions))
	if err != nil {
		panic(err) // part of the program; a test reads it
	}
	return list
}

// ParseExclusions reads a list of patterns. All mistakes are reported, each
// with name and line.
func ParseExclusions(name string, r io.Reader) (Exclusions, error) {
	var (
		list Exclusions
		errs []error
	)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		rule, err := parseExclusion(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, n, err))
			continue
		}
		list = append(list, rule)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("reading %q: %w", name, err))
	}
	return list, errors.Join(errs...)
}

func parseExclusion(line string) (exclusion, error) {
	pattern, keep := strings.CutPrefix(line, "!")
	rule := exclusion{keep: keep, parts: strings.Split(strings.Trim(pattern, "/"), "/")}
	for _, part := range rule.parts {
		switch {
		case part == "" || part == "." || part == "..":
			return exclusion{}, fmt.Errorf("pattern %q has a part %q: give a plain path below the root", line, part)
		case strings.Contains(part, "**"):
			return exclusion{}, fmt.Errorf("pattern %q: ** is not supported, * matches within one name", line)
		case strings.Contains(part, "\x00") || (len(part) > 255 && !strings.ContainsAny(part, globbing)):
			return exclusion{}, fmt.Errorf("pattern %q: no file can be called %q", line, part)
		}
		if _, err := path.Match(part, ""); err != nil {
			return exclusion{}, fmt.Errorf("pattern %q: %q: %w", line, part, err)
		}
	}
	return rule, nil
}

// globbing are the characters that make a part more than a name.
const globbing = `*?[\`

// find returns the paths below root, sorted, that the list leaves out.
// It reads directories that patterns name and no others, and follows no link.
func (list Exclusions) find(root string) ([]string, error) {
	out := map[string]bool{}
	for _, rule := range list {
		paths, err := expand(root, "", rule.parts)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			if rule.keep {
				delete(out, p)
			} else {
				out[p] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(out)), nil
}

// MayKeep reports whether a line "!pattern" of the list can take back something
// that another pattern names: also where the two only begin alike.
func (list Exclusions) MayKeep(pattern string) bool {
	parts := strings.Split(pattern, "/")
	return slices.ContainsFunc(list, func(rule exclusion) bool {
		return rule.keep && slices.EqualFunc(rule.parts, parts, func(a, b string) bool {
			a, wildA := beginning(a)
			b, wildB := beginning(b)
			return a == b || wildA && strings.HasPrefix(b, a) || wildB && strings.HasPrefix(a, b)
		})
	})
}

// beginning is what a part begins with before its first wildcard.
func beginning(part string) (text string, wild bool) {
	if i := strings.IndexAny(part, globbing); i >= 0 {
		return part[:i], true
	}
	return part, false
}

// expand returns the paths that exist below root and match parts, dir being
// the real directory reached so far.
func expand(root, dir string, parts []string) ([]string, error) {
	if len(parts) == 0 {
		return []string{dir}, nil
	}
	names, err := matches(filepath.Join(root, dir), parts[0])
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		below, err := expand(root, path.Join(dir, name), parts[1:])
		if err != nil {
			return nil, err
		}
		found = append(found, below...)
	}
	return found, nil
}

// matches returns the names in the directory that match one part of a pattern;
// none when dir is not a directory.
func matches(dir, part string) ([]string, error) {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && !info.IsDir()) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(part, globbing) {
		if _, err := os.Lstat(filepath.Join(dir, part)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			return nil, err
		}
		return []string{part}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if ok, _ := path.Match(part, e.Name()); ok { // checked when parsed
			names = append(names, e.Name())
		}
	}
	return names, nil
}
