package inside

import "strings"

// words are what systemctl was given.
type words struct {
	verb  string
	units []string
	user  string // whose units are meant, NAME@ as --machine takes it

	ofUser, now, all, noLegend, plain, quiet, bare bool

	types  string
	states string
	asked  []string // properties
}

// valued are the options that take the next word. See systemctl(1).
var valued = map[string]bool{
	"-p": true, "-P": true, "-t": true, "-M": true, "-H": true, "-n": true, "-o": true, "-s": true, "--property": true,
	"--type": true, "--machine": true, "--host": true, "--lines": true, "--output": true, "--signal": true,
	"--state": true, "--root": true, "--job-mode": true, "--kill-who": true, "--kill-whom": true, "--what": true,
}

// readWords takes apart what systemctl was given.
func readWords(args []string) words {
	var w words
	for i := 0; i < len(args); i++ {
		word := args[i]
		switch {
		case valued[word]:
			value := ""
			if i++; i < len(args) {
				value = args[i]
			}
			w.set(word, value)
		case !strings.HasPrefix(word, "-"):
			if w.verb == "" {
				w.verb = word
			} else {
				w.units = append(w.units, word)
			}
		default:
			w.option(word)
		}
	}
	return w
}

// set takes an option that has a value.
func (w *words) set(name, value string) {
	switch name {
	case "-p", "--property":
		w.ask(value)
	case "-P":
		w.ask(value)
		w.bare = true
	case "-t", "--type":
		w.types = value
	case "-M", "--machine":
		w.user = value
	case "--state":
		w.states = value
	}
}

func (w *words) ask(names string) {
	w.asked = append(w.asked, strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })...)
}

// option takes an option of one word.
func (w *words) option(word string) {
	switch word {
	case "--user", "--global":
		w.ofUser = true
	case "--now":
		w.now = true
	case "-a", "--all":
		w.all = true
	case "--no-legend":
		w.noLegend = true
	case "--plain":
		w.plain = true
	case "--failed":
		w.states = "failed"
	case "-q", "--quiet":
		w.quiet = true
	case "--value":
		w.bare = true
	default:
		w.optionWithValue(word)
	}
}

func (w *words) optionWithValue(word string) {
	name, value, hasValue := strings.Cut(word, "=")
	switch {
	case hasValue && name == "--legend":
		w.noLegend = true
	case hasValue && name == "--machine":
		if isUserMachine(value) {
			w.user = value
		}
	case hasValue && (name == "--state" || name == "--type" || name == "--property"):
		w.set(name, value)
	case len(word) > 2 && matchesAny(word[:2], "-p", "-P", "-t"):
		w.set(word[:2], word[2:])
	}
}

// isUserMachine says whether a machine is this one, for a user.
func isUserMachine(value string) bool {
	return matchesAny(value, "?*@", "?*@.host")
}
