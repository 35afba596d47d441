package ansible

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// readSet collects reads of several processes. Its zero value is empty.
type readSet struct {
	mu    sync.Mutex
	reads Reads
}

func (s *readSet) add(r Reads) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads.Add(r)
}

// Reads are what the runs of this playbook have read so far. What ansible loads
// from the host_vars of a built host is left out, unless hosts are built
// together: it counts for that host, whether it is there or not.
func (p *Playbook) Reads() Reads {
	p.reads.mu.Lock()
	defer p.reads.mu.Unlock()
	return p.reads.reads
}

// noteReads reads what one ansible process noted, see
// ansible_collections/vauban/build/plugins/plugin_utils/reads.py.
func (p *Playbook) noteReads(c *workingCopy, file string, targets []target, neighbours map[string][]string) error {
	r := p.repository
	if r.options.HookPre != "" || r.options.HookPost != "" {
		p.reads.add(Reads{Everything: "hooks may read any file"})
		return nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		p.reads.add(Reads{Everything: "ansible did not note what it read"})
		return nil
	} else if err != nil {
		return fmt.Errorf("reading what ansible read: %w", err)
	}
	var hosts []string
	if p.options.Conffs && p.options.Mode != Together {
		for _, t := range targets {
			hosts = append(hosts, t.name)
		}
	}
	// The paths that links lead to are not told apart: they count for all.
	reads, variables := parseReads(data)
	links{c.tree, map[string]bool{}}.follow(&variables)
	variables.drop(hosts)
	reads.Add(variables)
	reads.Files = append(reads.Files, p.alwaysRead(c)...)
	reads.Neighbours = neighbours
	links{c.tree, map[string]bool{}}.follow(&reads)
	p.reads.add(reads)
	return nil
}

// parseReads takes the list apart: entries end in NUL and begin with a letter
// for their kind. Variables are what ansible loaded as those of a host; a task
// that reads such a file by its path depends on it like on any other.
func parseReads(data []byte) (reads, variables Reads) {
	files, listed := map[string]bool{}, map[string]bool{}
	for entry := range bytes.SplitSeq(data, []byte{0}) {
		if len(entry) < 2 {
			continue
		}
		name := string(entry[1:])
		switch {
		case entry[0] == 'x':
			return Reads{Everything: fmt.Sprintf("the program %q ran on the builder", name)}, Reads{}
		case strings.HasPrefix(name, ".git/"):
			return Reads{Everything: "the repository's history was read"}, Reads{}
		case strings.Contains(name, "__pycache__/"):
		case entry[0] == 'v':
			variables.Files = append(variables.Files, name)
		case entry[0] == 'w':
			variables.Listed = append(variables.Listed, name)
		case entry[0] == 'd':
			listed[name] = true
		case name != ".":
			files[name] = true
		}
	}
	reads.Files = slices.Sorted(maps.Keys(files))
	reads.Listed = slices.Sorted(maps.Keys(listed))
	return reads, variables
}

// drop takes out what is in the host_vars of one of the hosts.
func (r *Reads) drop(hosts []string) {
	of := func(name string) bool {
		return slices.ContainsFunc(variablesOf(name), func(host string) bool { return slices.Contains(hosts, host) })
	}
	r.Files, r.Listed = slices.DeleteFunc(r.Files, of), slices.DeleteFunc(r.Listed, of)
}

// alwaysRead are files that are read before ansible begins to note, or by
// others.
func (p *Playbook) alwaysRead(c *workingCopy) []string {
	r := p.repository
	inTree := []string{"ansible.cfg", p.options.Path}
	for _, file := range requirementFiles {
		inTree = append(inTree, file.path)
	}
	for i, name := range inTree {
		inTree[i] = filepath.Join(r.options.RootDir, name)
	}
	for _, arg := range r.arguments(c) {
		for _, name := range namesIn(arg) {
			if local, ok := strings.CutPrefix(name, c.tree+"/"); ok {
				inTree = append(inTree, local)
			} else if exists(filepath.Join(c.root, name)) {
				inTree = append(inTree, filepath.Join(r.options.RootDir, name))
			}
		}
	}
	return inTree
}

// namesIn gives what of an argument may name a file: NAME, --option=NAME,
// @NAME, LABEL@NAME.
func namesIn(arg string) []string {
	_, value, _ := strings.Cut(arg, "=")
	names := []string{arg, value}
	for _, text := range []string{arg, value} {
		_, name, _ := strings.Cut(text, "@")
		names = append(names, name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" || strings.HasPrefix(name, "-") })
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
