package diff

import (
	"fmt"
	"path"
	"strings"
)

// DefaultExcludes lists what no difference holds: what a running machine
// writes by itself, and what is there only for the build.
func DefaultExcludes() []string {
	return []string{
		"var/log/**",
		"var/cache/**",
		"var/lib/apt/lists/**",
		"root/.ansible",
		"root/.ansible_async",
		"root/ansible",
		"tmp/**",
		"var/tmp/**",
		"run/**",
	}
}

// Globs are patterns of paths relative to the root: * and ? within a name, **
// for any number of names.
type Globs [][]string

// ParseGlobs reads patterns.
func ParseGlobs(patterns []string) (Globs, error) {
	var g Globs
	for _, pattern := range patterns {
		clean := strings.Trim(pattern, "/")
		if clean == "" {
			return nil, fmt.Errorf("the exclude %q matches nothing or everything: give a path relative to the root, such as %q", pattern, "var/spool/**")
		}
		parts := strings.Split(clean, "/")
		for _, part := range parts {
			if _, err := path.Match(part, ""); err != nil || part == "" || part == "." || part == ".." {
				return nil, fmt.Errorf("the exclude %q is malformed at %q: use names, *, ?, [a-z] and, for any depth, **", pattern, part)
			}
		}
		g = append(g, parts)
	}
	return g, nil
}

// Match reports whether a pattern matches the whole path.
func (g Globs) Match(p string) bool {
	if len(g) == 0 {
		return false
	}
	parts := strings.Split(p, "/")
	for _, pattern := range g {
		if matchParts(pattern, parts) {
			return true
		}
	}
	return false
}

// matchParts matches name by name. ** is any number of names, and at least
// one at the end: dir/** is what is in dir, not dir itself.
func matchParts(pattern, parts []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			if len(pattern) == 1 {
				return len(parts) > 0
			}
			for i := range parts {
				if matchParts(pattern[1:], parts[i:]) {
					return true
				}
			}
			return false
		}
		if len(parts) == 0 {
			return false
		}
		if ok, _ := path.Match(pattern[0], parts[0]); !ok {
			return false
		}
		pattern, parts = pattern[1:], parts[1:]
	}
	return len(parts) == 0
}
