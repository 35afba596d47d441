package inside

import (
	"bytes"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// Bounds of a unit file: those of packages have some 2 KiB, and fewer than ten
// of the settings that are looked at.
const (
	maxUnit     = 256 << 10 // bytes
	maxSettings = 1000
)

// lookedAt are the names of the settings that are kept of a unit file.
var lookedAt = []string{
	"Alias", "Also", "DefaultInstance", "Description", "Environment", "Group", "PIDFile", "RequiredBy",
	"RuntimeDirectory", "RuntimeDirectoryMode", "Type", "User", "WantedBy", "WorkingDirectory",
}

// settings are what the files of a unit say, in their order.
type settings []*option

// option is one line: a name and a value.
type option = unit.UnitOption

// parseUnit reads a unit file. What is not understood is left out, as systemd
// does it.
func parseUnit(content []byte) settings {
	if len(content) > maxUnit {
		return nil
	}
	found, err := unit.DeserializeOptions(bytes.NewReader(content))
	if err != nil {
		found, _ = unit.DeserializeOptions(bytes.NewReader(understood(content)))
	}
	found = slices.DeleteFunc(found, func(o *option) bool {
		return !slices.Contains(lookedAt, o.Name) && !strings.HasPrefix(o.Name, reloads)
	})
	return slices.Clone(found[:min(len(found), maxSettings)])
}

// understood returns the lines that are an assignment, or go on with one, a
// section or a comment, and are not longer than the parser takes.
func understood(content []byte) []byte {
	var kept bytes.Buffer
	goesOn := false
	for line := range bytes.Lines(content) {
		bare := bytes.TrimSpace(line)
		continues := goesOn
		goesOn = bytes.HasSuffix(bare, []byte{'\\'})
		section := bytes.HasPrefix(bare, []byte{'['}) && bytes.HasSuffix(bare, []byte{']'})
		if len(line) < unit.SYSTEMD_LINE_MAX && (continues || section || isAssignment(bare)) {
			kept.Write(line)
		}
	}
	return kept.Bytes()
}

func isAssignment(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte{'='})
	return found && len(name) > 0 && !bytes.ContainsAny(name, "[]#;")
}

// last returns the last value that is given to a name, in whichever section.
func (s settings) last(name string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].Name == name {
			return joinLines(s[i].Value)
		}
	}
	return ""
}

// all returns the words that are given to a name.
func (s settings) all(name string) (words []string) {
	for _, option := range s {
		if option.Name == name {
			words = append(words, strings.Fields(joinLines(option.Value))...)
		}
	}
	return words
}

// values returns what is given to a name, each time that it is.
func (s settings) values(name string) (values []string) {
	for _, option := range s {
		if option.Name == name {
			values = append(values, joinLines(option.Value))
		}
	}
	return values
}

// joinLines makes one line of a value of several. Source: systemd.syntax(7).
func joinLines(value string) string {
	if !strings.Contains(value, "\\\n") {
		return strings.TrimSpace(value)
	}
	var parts []string
	for part := range strings.SplitSeq(value, "\\\n") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}
