package progress

import (
	"io"
	"log/slog"
)

// Quiet renders what the log warns of and nothing else.
type Quiet struct{ W io.Writer }

var _ Renderer = Quiet{}

// Render writes warnings and errors.
func (q Quiet) Render(e Event) {
	var level slog.Level
	if e.Type == Log && level.UnmarshalText([]byte(e.Level)) == nil && level >= slog.LevelWarn {
		_, _ = io.WriteString(q.W, e.Text+"\n")
	}
}

// Close does nothing.
func (q Quiet) Close() error { return nil }
