package ansible

import (
	"log/slog"
	"strings"
	"sync"
	"unicode"
)

// unparsed is in ansible's error about an inventory source that no plugin can
// read.
const unparsed = "Completely failed to parse inventory source"

// inventoryAdvice says what to do about a failed source.
func inventoryAdvice(said string) string {
	if !strings.Contains(said, unparsed) {
		return ""
	}
	return "\nThe hosts of this source are unknown: repair it (a folder needs a file with hosts in it). If it is not an inventory, move it out of the inventory's folder, " +
		"or have ansible.cfg leave it out (ignore_patterns or ignore_extensions in the section [inventory])"
}

// ordinaryWarnings are about what is normal in a build: an inventory that
// lacks the masters, and patterns that match none of its hosts, which is
// reported where it matters.
var ordinaryWarnings = []string{"provided hosts list is empty", "No inventory was parsed", "Could not match supplied host pattern"}

// warnings are what ansible warned about.
type warnings struct {
	log  *slog.Logger
	said sync.Map
}

// repeat logs what ansible warned about in a run that succeeded, once.
func (w *warnings) repeat(said string) {
	for _, warning := range blocks(said) {
		ordinary := false
		for _, words := range ordinaryWarnings {
			ordinary = ordinary || strings.Contains(warning, words)
		}
		if _, again := w.said.LoadOrStore(warning, true); ordinary || again {
			continue
		}
		w.log.Warn("ansible: " + strings.TrimSpace(strings.TrimPrefix(warning, "[WARNING]:")))
	}
}

// wrapWidth is the width of ansible's lines where it has no terminal.
const wrapWidth = 79

// unwrapped joins the lines of ansible's warnings, which it breaks anywhere in
// a path too.
func unwrapped(said string) string { return strings.Join(blocks(said), "\n") }

// blocks divides what ansible says into warnings, each in one line, and other
// lines.
func blocks(said string) (all []string) {
	last, warning := "", false // the line before, and whether it is a warning's
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\r\n")
		begins := strings.HasPrefix(line, "[") || strings.HasPrefix(line, "ERROR!") || strings.HasPrefix(line, "fatal:")
		switch {
		case line == "":
			warning = false
		case warning && !begins:
			if !brokenWord(last) {
				all[len(all)-1] += " "
			}
			all[len(all)-1] += line
		default:
			warning = strings.HasPrefix(line, "[WARNING]") || strings.HasPrefix(line, "[DEPRECATION")
			all = append(all, line)
		}
		last = line
	}
	return all
}

// brokenWord reports whether a line ends within a word: where that is longer than
// a line, or after a hyphen in it.
func brokenWord(line string) bool {
	runes := []rune(line)
	n := len(runes)
	if n >= wrapWidth {
		return true
	}
	return n > 1 && runes[n-1] == '-' && !unicode.IsSpace(runes[n-2])
}
