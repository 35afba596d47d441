package repository

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// ErrUnknownCommit: the repository does not have a commit any more.
var ErrUnknownCommit = errors.New("the repository no longer has this commit")

// Changes are what differs between two commits.
type Changes struct {
	// entries are files, folders that came or went, and submodules.
	entries []changed
	// variables are the paths that may hold variables of a host.
	variables map[string][]string
}

// changed is a path that differs.
type changed struct {
	path string
	// renewed: its name came or went, or it is of another type now.
	renewed   bool
	submodule bool
}

// Changes compares two commits, once for each pair. The error is
// [ErrUnknownCommit] when the first is not there.
func (m *Mirror) Changes(ctx context.Context, from, to string) (*Changes, error) {
	if from == to {
		return &Changes{}, nil
	}
	return m.changes.Get([2]string{from, to}, func() (*Changes, error) {
		if !commitID.MatchString(from) || !commitID.MatchString(to) {
			return nil, fmt.Errorf("comparing %q and %q: these are not commits", from, to)
		}
		if _, err := m.git(ctx, "cat-file", "-e", from+"^{commit}"); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fmt.Errorf("%.12s: %w", from, ErrUnknownCommit)
		}
		out, err := m.git(ctx, "diff-tree", "-r", "-t", "-z", "--raw", "--no-renames", from, to)
		if err != nil {
			return nil, fmt.Errorf("comparing %.12s and %.12s: %w", from, to, err)
		}
		return parseChanges(out)
	})
}

// Modes of git's trees.
const (
	treeMode      = "040000"
	submoduleMode = "160000"
)

// parseChanges reads `git diff-tree -z --raw`.
// Reference: https://git-scm.com/docs/diff-format
func parseChanges(out string) (*Changes, error) {
	c := &Changes{variables: map[string][]string{}}
	for out != "" {
		head, rest, ok := strings.Cut(out, "\x00")
		name, rest, ok2 := strings.Cut(rest, "\x00")
		fields := strings.Fields(strings.TrimPrefix(head, ":"))
		if !ok || !ok2 || len(fields) != 5 || !strings.HasPrefix(head, ":") || name == "" {
			return nil, fmt.Errorf("reading git's comparison: %q is none", head)
		}
		out = rest
		before, after, status := fields[0], fields[1], fields[4]
		if before == treeMode && after == treeMode {
			continue // what is in it is listed
		}
		e := changed{path: name, renewed: status != "M", submodule: before == submoduleMode || after == submoduleMode}
		c.entries = append(c.entries, e)
		for _, host := range variablesOf(name) {
			c.variables[host] = append(c.variables[host], name)
		}
	}
	return c, nil
}

// Touching are the changed paths that count for a result that depends on r.
func (c *Changes) Touching(r Reads) []string {
	var touching []string
	for _, e := range c.entries {
		if r.Everything != "" || r.cover(e) {
			touching = append(touching, e.path)
		}
	}
	return withoutFolders(touching)
}

// Variables are the changed paths that may hold variables of a host.
func (c *Changes) Variables(host string) []string { return withoutFolders(c.variables[host]) }

func (r Reads) cover(e changed) bool {
	switch path.Base(e.path) {
	case ".gitattributes", ".gitmodules": // they change how files are checked out
		return true
	}
	if has(r.Files, e.path) || has(r.Listed, e.path) {
		return true
	}
	if e.submodule {
		below := func(name string) bool { return strings.HasPrefix(name, e.path+"/") }
		return slices.ContainsFunc(r.Files, below) || slices.ContainsFunc(r.Listed, below)
	}
	return e.renewed && has(r.Listed, path.Dir(e.path))
}

func has(sorted []string, name string) bool {
	_, found := slices.BinarySearch(sorted, name)
	return found
}

// withoutFolders drops a folder that came or went where what is in it is
// named too.
func withoutFolders(names []string) []string {
	names = union(names, nil)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		i, _ := slices.BinarySearch(names, name+"/")
		return i < len(names) && strings.HasPrefix(names[i], name+"/")
	})
}
