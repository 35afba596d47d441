package ansible

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

// reportFacts tells of the files that are wrong on the machine they are for.
func (p *Playbook) reportFacts(path string) error {
	if p.options.Notice == nil {
		return nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there are none
	} else if err != nil {
		return fmt.Errorf("reading which files hold facts of the builder: %w", err)
	}
	defer f.Close()
	var told []string
	for lines := json.NewDecoder(f); ; {
		var w writtenFacts
		if err := lines.Decode(&w); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading which files hold facts of the builder: %w", err)
		}
		text := fmt.Sprintf("%s was written from %s of the builder: set it in `facts:` of the master or in the host's variables",
			w.File, strings.Join(w.Facts, ", "))
		if key := w.Host + text; !slices.Contains(told, key) {
			told = append(told, key)
			p.options.Notice(w.Host, text)
		}
	}
}
