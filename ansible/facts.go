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
	written, err := readLines[writtenFacts](path)
	if err != nil {
		return fmt.Errorf("reading which files hold facts of the builder: %w", err)
	}
	var told []string
	for _, w := range written {
		text := fmt.Sprintf("%s was written from %s of the builder: set it in `facts:` of the master or in the host's variables",
			w.File, strings.Join(w.Facts, ", "))
		if key := w.Host + text; !slices.Contains(told, key) {
			told = append(told, key)
			p.notice(w.Host, text)
		}
	}
	return nil
}

func (p *Playbook) notice(host, text string) {
	if p.options.Notice != nil {
		p.options.Notice(host, text)
	}
}

// readLines reads JSON objects of a file, none where it does not exist.
func readLines[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []T
	for lines := json.NewDecoder(f); ; {
		var one T
		if err := lines.Decode(&one); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}
