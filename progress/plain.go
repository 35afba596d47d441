package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"vauban/internal/text"
)

// Plain renders lines with a time and what they are about.
type Plain struct {
	W io.Writer
	// Close, when set, is called by Close.
	Closer io.Closer
}

var _ Renderer = Plain{}

// Render writes the lines of an event.
func (p Plain) Render(e Event) { _, _ = io.WriteString(p.W, PlainText(e)) }

// Close closes what was given to be closed.
func (p Plain) Close() error {
	if p.Closer == nil {
		return nil
	}
	return p.Closer.Close()
}

// PlainText is an event as lines, each with its end.
func PlainText(e Event) string {
	text := sentence(e)
	if text == "" {
		return ""
	}
	prefix := e.Time.Format("15:04:05") + " "
	if task := e.Task(); task != "" {
		prefix += task + ": "
	}
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString(prefix)
		lines.WriteString(strings.TrimRight(line, " \n"))
		lines.WriteByte('\n')
	}
	return lines.String()
}

// sentence says what happened, in one line or more.
func sentence(e Event) string {
	switch e.Type {
	case RunStarted:
		return fmt.Sprintf("run %s, %s; its logs are in %s", e.Tag, text.Count(len(e.Tasks), "task"), e.Path)
	case TaskStarted:
		return "started"
	case Hosts:
		return text.Count(e.Total, "host")
	case HostEnded:
		if e.Outcome == Done {
			return e.Host + ": done"
		}
		return e.Host + ": " + string(e.Outcome) + ": " + reason(e)
	case Image, Released:
		return ""
	case Notice:
		return "notice: " + hosted(e)
	case TaskEnded:
		return string(e.Outcome) + after(e) + colon(reason(e))
	case RunEnded:
		return "run " + string(e.Outcome) + after(e) + colon(e.Text)
	}
	return hosted(e)
}

func hosted(e Event) string {
	if e.Host == "" {
		return e.Text
	}
	return e.Host + ": " + e.Text
}

func after(e Event) string {
	if e.Seconds == 0 {
		return ""
	}
	return " after " + Took(e.Seconds)
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// maxReason is how many lines of a message are shown; the log has all.
const maxReason = 20

// reason is an event's text, cut, and the log that has the rest.
func reason(e Event) string {
	text := strings.TrimRight(e.Text, "\n")
	if lines := strings.Split(text, "\n"); len(lines) > maxReason {
		text = strings.Join(lines[:maxReason], "\n") + "\n..."
	}
	if e.Log != "" && e.Outcome == Failed {
		text += "\nlog: " + e.Log
	}
	return text
}

// Took writes a duration for people.
func Took(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
