package progress

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Sanitize takes out of a text what a terminal would obey: escape sequences,
// control characters, and the marks that turn the direction of writing. Line
// ends stay; a tab becomes a space, a carriage return a line end.
func Sanitize(text string) string { return sanitize(text, ' ') }

// Printable is [Sanitize] with tabs as they are, for what is printed as it is.
func Printable(text string) string { return sanitize(text, '\t') }

// PrintableLine is [Printable] of a text that must not begin another line: the
// name of a file can hold line ends, with what looks like output of ours.
func PrintableLine(text string) string { return strings.ReplaceAll(Printable(text), "\n", "?") }

func sanitize(text string, tab rune) string {
	if plain(text) {
		return text
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	text = strings.ToValidUTF8(text, "\uFFFD")
	lines := strings.Split(introducers.Replace(text), "\n")
	for i := range lines {
		lines[i] = ansi.Strip(lines[i]) // a sequence that is cut ends with its line
	}
	// Whatever a cut or malformed sequence left is no longer one.
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n':
			return c
		case c == '\t':
			return tab
		case unicode.IsControl(c), unicode.Is(unicode.Bidi_Control, c), c == '\u2028', c == '\u2029':
			return -1
		}
		return c
	}, strings.Join(lines, "\n"))
}

// introducers writes the one-character forms of what starts or ends a
// sequence as two.
var introducers = func() *strings.Replacer {
	var pairs []string
	for c := '\u0080'; c <= '\u009f'; c++ {
		pairs = append(pairs, string(c), "\x1b"+string(c-0x40))
	}
	return strings.NewReplacer(pairs...)
}()

// plain tells a text that has nothing to take out, as nearly all do.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c >= 0x7f || c < ' ' && c != '\n' {
			return false
		}
	}
	return true
}

// changed is the event with its texts put through change.
func changed(e Event, change func(string) string) Event {
	for _, text := range []*string{&e.Kind, &e.Subject, &e.Host, &e.Text, &e.Log, &e.Name, &e.Path} {
		*text = change(*text)
	}
	if e.Failure != nil {
		f := *e.Failure
		f.Task, f.Place, f.Message = change(f.Task), change(f.Place), change(f.Message)
		e.Failure = &f
	}
	return e
}
