package ansible

import (
	"fmt"
	"slices"
	"strings"
)

// writtenFacts is a file that a task wrote, and the facts of the builder that
// went into it: see plugin_utils/facts.py of the collection.
type writtenFacts struct {
	Host  string   `json:"host"`
	File  string   `json:"file"`
	Facts []string `json:"facts"`
}

// builderFacts reports the files that are wrong on the machine they are for.
func (n notices) builderFacts(path string) error {
	written, err := readLines[writtenFacts](path)
	if err != nil {
		return fmt.Errorf("reading which files hold facts of the builder: %w", err)
	}
	var given []string
	for _, w := range written {
		text := fmt.Sprintf("%s was written from %s of the builder: set it in `facts:` of the master or in the host's variables",
			w.File, strings.Join(w.Facts, ", "))
		if key := w.Host + text; !slices.Contains(given, key) {
			given = append(given, key)
			n.notice(w.Host, text)
		}
	}
	return nil
}
