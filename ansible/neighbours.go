package ansible

import (
	"fmt"
	"slices"
)

// aloneTask is a task that asked for its neighbours, where each host is built
// as if it were alone: see plugin_utils/alone.py of the collection.
type aloneTask struct {
	Host string `json:"host"`
	Task string `json:"task"`
	Path string `json:"path"`
	// What it did, and how many Hosts its play is for.
	What  string `json:"what"`
	Hosts int    `json:"hosts"`
}

// neighbours reports each such task once, for it says the same on all hosts.
func (n notices) neighbours(path string) error {
	tasks, err := readLines[aloneTask](path)
	if err != nil {
		return fmt.Errorf("reading which tasks asked for other hosts: %w", err)
	}
	var given []string
	for _, t := range tasks {
		text := fmt.Sprintf("task %q (%s) %s: each host is built as if it were alone, and its play is for %d: "+
			"if they are to know of each other, write `ansible_run: together` for their master", oneLine(n.copy.Relative(t.Task)), n.copy.Relative(t.Path), t.What, t.Hosts)
		if !slices.Contains(given, text) {
			given = append(given, text)
			n.notice("", text)
		}
	}
	return nil
}
