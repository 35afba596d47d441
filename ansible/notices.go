package ansible

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"vauban/ansible/repository"
)

// notices turn what the plugins noted next to the description of a run into
// words for people.
type notices struct {
	copy *repository.Copy
	// notice gets each; host is "" where it is about all.
	notice func(host, text string)
}

func (p *Playbook) notices(wc *repository.Copy) notices {
	if p.options.Notice == nil {
		return notices{wc, func(string, string) {}}
	}
	return notices{wc, p.options.Notice}
}

// give gives the notices of the run that a file describes.
func (n notices) give(description string) error {
	return errors.Join(n.builderFacts(description+".facts"), n.neighbours(description+".alone"), n.lostPasswords(description+".passwords"))
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
