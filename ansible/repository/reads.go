package repository

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Reads are the paths of the repository, relative to its top, that a result
// depends on. Also those count that were looked for in vain.
type Reads struct {
	// Everything says why all files count. Empty: only those below.
	Everything string `json:"everything,omitempty"`
	// Files were opened or looked at; of a folder that is whether it is there.
	Files []string `json:"files,omitempty"`
	// Listed are folders whose names were listed.
	Listed []string `json:"listed,omitempty"`
	// Neighbours are other built hosts whose variables a host looked at.
	Neighbours map[string][]string `json:"neighbours,omitempty"`
}

// Add joins what another run read.
func (r *Reads) Add(other Reads) {
	if r.Everything == "" {
		r.Everything = other.Everything
	}
	r.Files = union(r.Files, other.Files)
	r.Listed = union(r.Listed, other.Listed)
	for host, names := range other.Neighbours {
		if r.Neighbours == nil {
			r.Neighbours = map[string][]string{}
		}
		r.Neighbours[host] = union(r.Neighbours[host], names)
	}
	if r.Everything != "" {
		r.Files, r.Listed, r.Neighbours = nil, nil, nil
	}
}

func union(a, b []string) []string {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// DropVariables takes out what is in the host_vars of one of the hosts.
func (r *Reads) DropVariables(hosts []string) {
	of := func(name string) bool {
		return slices.ContainsFunc(variablesOf(name), func(host string) bool { return slices.Contains(hosts, host) })
	}
	r.Files, r.Listed = slices.DeleteFunc(r.Files, of), slices.DeleteFunc(r.Listed, of)
}

// variablesOf names the hosts that a path may hold variables of: two for
// host_vars/web01.example.yml, which ansible reads for web01.example too.
func variablesOf(name string) []string {
	var hosts []string
	elements := strings.Split(name, "/")
	for i, element := range elements[:len(elements)-1] {
		if element != "host_vars" {
			continue
		}
		host := elements[i+1]
		hosts = append(hosts, host)
		switch ext := path.Ext(host); ext {
		case ".yml", ".yaml", ".json":
			hosts = append(hosts, strings.TrimSuffix(host, ext))
		}
	}
	return hosts
}

// AddLinks adds to what was read the symbolic links on the way, and what they
// lead to.
func (c *Copy) AddLinks(r *Reads) {
	links{c.Tree, map[string]bool{}}.follow(r)
}

// links finds the symbolic links of a working copy that paths lead over. Git
// knows files by the path without links.
type links struct {
	tree string
	seen map[string]bool // whether a path is a link
}

// maxLinks bounds how many links one path may lead over, as the kernel does.
const maxLinks = 40

// follow adds to what was read the links on the way and what they lead to.
func (l links) follow(r *Reads) {
	for _, list := range []*[]string{&r.Files, &r.Listed} {
		var more []string
		for _, name := range *list {
			real, over := l.resolve(name)
			r.Files = append(r.Files, over...)
			if real != name && real != "" {
				more = append(more, real)
			}
		}
		*list = union(*list, more)
	}
	r.Files = union(r.Files, nil)
}

// resolve gives the path without links, "" when it leaves the working copy,
// and the links on the way.
func (l links) resolve(name string) (real string, over []string) {
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
		next := path.Join(real, rest[0])
		rest = rest[1:]
		if !l.isLink(next) {
			real = next
			continue
		}
		over = append(over, next)
		to, err := os.Readlink(filepath.Join(l.tree, next))
		if err != nil || len(over) > maxLinks || path.IsAbs(to) || !filepath.IsLocal(path.Join(real, to)) {
			return "", over
		}
		to = path.Join(real, to)
		real, rest = "", append(strings.Split(to, "/"), rest...)
	}
	return real, over
}

func (l links) isLink(name string) bool {
	if is, ok := l.seen[name]; ok {
		return is
	}
	info, err := os.Lstat(filepath.Join(l.tree, name))
	l.seen[name] = err == nil && info.Mode()&fs.ModeSymlink != 0
	return l.seen[name]
}
