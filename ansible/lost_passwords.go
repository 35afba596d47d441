package ansible

import (
	"fmt"
	"slices"
	"strings"
)

// madePassword is a file of the working copy that lookup('password') made: see
// plugin_utils/passwords.py of the collection.
type madePassword struct {
	File string `json:"file"`
}

// lostPasswords reports those that no later stage, host or run will know.
func (n notices) lostPasswords(path string) error {
	made, err := readLines[madePassword](path)
	if err != nil {
		return fmt.Errorf("reading which passwords were made up: %w", err)
	}
	slices.SortFunc(made, func(a, b madePassword) int { return strings.Compare(a.File, b.File) })
	for _, m := range slices.Compact(made) {
		n.notice("", fmt.Sprintf("lookup('password') made up %s, for this run of the playbook alone: other stages and the next build "+
			"make up another: commit the file, vaulted, or give the lookup a seed", m.File))
	}
	return nil
}
