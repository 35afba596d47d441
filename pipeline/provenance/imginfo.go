package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// History is what an image tells of how it was made: /imginfo and /packages.
type History struct {
	// ISO is the key of the base in config.yml, and Date when it was
	// imported.
	ISO      string           `yaml:"iso" json:"iso"`
	Date     string           `yaml:"date" json:"date"`
	Stages   []AppliedStage   `yaml:"stages" json:"stages"`
	Packages []PackageChanges `yaml:"packages" json:"packages"`
}

// AppliedStage is an entry of /imginfo. Dates are RFC 3339 with an offset.
type AppliedStage struct {
	Date string `yaml:"date" json:"date"`
	// Playbook is the playbook's path, or the Dockerfile's.
	Playbook string `yaml:"playbook" json:"playbook"`
	// Hostname is the machine's that the stage was applied as.
	Hostname string `yaml:"hostname" json:"hostname"`
	// Source is the name of the image below, SourceDigest its manifest's.
	Source string `yaml:"source" json:"source"`
	// GitSHA1 and GitBranch say where the playbook is from. A Dockerfile
	// has neither.
	GitSHA1      string `yaml:"git-sha1" json:"git-sha1,omitempty"`
	GitBranch    string `yaml:"git-branch" json:"git-branch,omitempty"`
	SourceDigest string `yaml:"source-digest" json:"source-digest,omitempty"`
	// Tool is what applied it.
	Tool string `yaml:"tool" json:"tool,omitempty"`
}

// PackageChanges is an entry of /packages.
type PackageChanges struct {
	Playbook string `yaml:"playbook" json:"playbook"`
	Hostname string `yaml:"hostname" json:"hostname"`
	// Packages has a line for each that came ("+ ") or went ("- ").
	Packages string `yaml:"packages" json:"packages"`
}

// ParseHistory reads the two files. Either may be empty.
func ParseHistory(imginfo, packages []byte) (h History, err error) {
	if err := yaml.Unmarshal(imginfo, &h); err != nil {
		return h, fmt.Errorf("reading %q: %w", imginfoList, err)
	}
	var p struct{ Packages []PackageChanges }
	if err := yaml.Unmarshal(packages, &p); err != nil {
		return h, fmt.Errorf("reading %q: %w", packagesList, err)
	}
	h.Packages = p.Packages
	return h, nil
}

// traceList is the path, in the image, of a file that is a list of entries
// below a key and only ever grows at its end.
type traceList string

const (
	imginfoList  traceList = "/imginfo"
	packagesList traceList = "/packages"
)

func (l traceList) key() string {
	if l == imginfoList {
		return "stages"
	}
	return "packages"
}

// dateLayout is RFC 3339 that writes UTC as an offset too, as date(1) does.
const dateLayout = "2006-01-02T15:04:05-07:00"

func imginfoHead(iso string, date time.Time) string {
	return fmt.Sprintf("---\niso: %s\ndate: %s\nstages:\n", scalar(iso), date.Format(dateLayout))
}

const packagesHead = "---\npackages:\n"

// lines are the entry's own, not indented.
func (s AppliedStage) lines() []string {
	lines := []string{"date: " + s.Date}
	for _, field := range [][2]string{
		{"playbook", s.Playbook}, {"hostname", s.Hostname}, {"source", s.Source}, {"git-sha1", s.GitSHA1},
		{"git-branch", s.GitBranch}, {"source-digest", s.SourceDigest}, {"tool", s.Tool},
	} {
		if field[1] != "" {
			lines = append(lines, field[0]+": "+scalar(field[1]))
		}
	}
	return lines
}

func (p PackageChanges) lines() []string {
	lines := []string{"playbook: " + scalar(p.Playbook), "hostname: " + scalar(p.Hostname), "packages: |"}
	for line := range strings.Lines(p.Packages) {
		lines = append(lines, "    "+strings.TrimRight(line, "\n"))
	}
	return lines
}

// scalar writes a string as YAML on one line.
func scalar(s string) string {
	text, err := yaml.Marshal(s)
	if line := strings.TrimSuffix(string(text), "\n"); err == nil && !strings.Contains(line, "\n") {
		return line
	}
	quoted, _ := json.Marshal(s) // of a string: it cannot fail
	return string(quoted)
}

// extend appends an entry to the file's text, which stays as it is byte for
// byte; head is what an empty file begins with.
func (l traceList) extend(text []byte, head string, lines []string) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte(head)
	}
	before, err := l.entries(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(text)
	if !bytes.HasSuffix(text, []byte("\n")) {
		b.WriteByte('\n')
	}
	prefix := "\n" + indentation(text, before) + "- "
	for _, line := range lines {
		b.WriteString(prefix + line + "\n")
		prefix = strings.Repeat(" ", len(indentation(text, before))+2)
	}
	after, err := l.entries(b.Bytes())
	if err == nil && len(after) != len(before)+1 {
		err = errors.New("text that is appended is not part of the list")
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot take another entry: %w; remove the file in the base", l, err)
	}
	return b.Bytes(), nil
}

// entries are the nodes of the list.
func (l traceList) entries(text []byte) ([]*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("reading %q: %w", l, err)
	}
	if document.Kind != yaml.DocumentNode || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("reading %q: it is not a mapping with a list %q; remove the file in the base", l, l.key())
	}
	fields := document.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value != l.key() {
			continue
		}
		switch list := fields[i+1]; {
		case list.Kind == yaml.SequenceNode:
			return list.Content, nil
		case list.Tag == "!!null":
			return nil, nil
		}
	}
	return nil, fmt.Errorf("reading %q: it has no list %q; remove the file in the base", l, l.key())
}

// indentation is that of the list's dashes; the original's is four spaces.
func indentation(text []byte, entries []*yaml.Node) string {
	if len(entries) > 0 {
		lines := bytes.Split(text, []byte("\n"))
		if n := entries[0].Line; n >= 1 && n <= len(lines) {
			if before, _, ok := bytes.Cut(lines[n-1], []byte("-")); ok && len(bytes.Trim(before, " ")) == 0 {
				return string(before)
			}
		}
	}
	return "    "
}
