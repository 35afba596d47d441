package ansible

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"vauban/ansible/repository"
)

// readSet collects reads of several processes. Its zero value is empty.
type readSet struct {
	mu    sync.Mutex
	reads repository.Reads
}

func (s *readSet) add(r repository.Reads) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads.Add(r)
}

// Reads are what the runs of this playbook have read so far. What ansible loads
// from the host_vars of a built host is left out, unless hosts are built
// together: it counts for that host, whether it is there or not.
func (p *Playbook) Reads() repository.Reads {
	p.reads.mu.Lock()
	defer p.reads.mu.Unlock()
	return p.reads.reads
}

// noteReads reads what one ansible process noted, see
// ansible_collections/vauban/build/plugins/plugin_utils/reads.py.
func (p *Playbook) noteReads(s *session, file string, targets []target, neighbours map[string][]string) error {
	if h := p.controller.hooks; h.before != "" || h.after != "" {
		p.reads.add(repository.Reads{Everything: "hooks may read any file"})
		return nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		p.reads.add(repository.Reads{Everything: "ansible did not note what it read"})
		return nil
	} else if err != nil {
		return fmt.Errorf("reading what ansible read: %w", err)
	}
	var hosts []string
	if p.isIndependent() {
		for _, t := range targets {
			hosts = append(hosts, t.name)
		}
	}
	// The paths that links lead to are not told apart: they count for all.
	reads, variables := parseReads(data)
	s.copy.AddLinks(&variables)
	variables.DropVariables(hosts)
	reads.Add(variables)
	reads.Files = append(reads.Files, s.alwaysRead(p.options.Path)...)
	reads.Neighbours = neighbours
	s.copy.AddLinks(&reads)
	p.reads.add(reads)
	return nil
}

// parseReads takes the list apart: entries end in NUL and begin with a letter
// for their kind. Variables are what ansible loaded as those of a host; a task
// that reads such a file by its path depends on it like on any other.
func parseReads(data []byte) (reads, variables repository.Reads) {
	files, listed := map[string]bool{}, map[string]bool{}
	for entry := range bytes.SplitSeq(data, []byte{0}) {
		if len(entry) < 2 {
			continue
		}
		name := string(entry[1:])
		switch {
		case entry[0] == 'x':
			return repository.Reads{Everything: fmt.Sprintf("the program %q ran on the builder", name)}, repository.Reads{}
		case strings.HasPrefix(name, ".git/"):
			return repository.Reads{Everything: "the repository's history was read"}, repository.Reads{}
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

// alwaysRead are files that are read before ansible begins to note, or by
// others.
func (s *session) alwaysRead(playbook string) []string {
	rootDir, err := filepath.Rel(s.copy.Tree, s.copy.Root)
	if err != nil { // one is below the other
		rootDir = "."
	}
	inTree := append([]string{"ansible.cfg", playbook}, repository.RequirementFiles()...)
	for i, name := range inTree {
		inTree[i] = filepath.Join(rootDir, name)
	}
	for _, arg := range s.arguments {
		for _, name := range namesIn(arg) {
			if local, ok := strings.CutPrefix(name, s.copy.Tree+"/"); ok {
				inTree = append(inTree, local)
			} else if exists(filepath.Join(s.copy.Root, name)) {
				inTree = append(inTree, filepath.Join(rootDir, name))
			}
		}
	}
	return inTree
}
