package progress

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// Handler gives log/slog the reporter to write to.
func (r *Reporter) Handler(options *slog.HandlerOptions) slog.Handler {
	buffer := &bytes.Buffer{}
	return &handler{text: slog.NewTextHandler(buffer, options), buffer: buffer, mu: &sync.Mutex{}, reporter: r}
}

// handler makes an event of a record that a TextHandler has written.
type handler struct {
	text     slog.Handler
	mu       *sync.Mutex // of buffer, which all that descend from one handler share
	buffer   *bytes.Buffer
	reporter *Reporter
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.text.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buffer.Reset()
	if err := h.text.Handle(ctx, record); err != nil {
		return err
	}
	h.reporter.Report(Event{Type: Log, Level: record.Level.String(), Text: strings.TrimSpace(h.buffer.String())})
	return nil
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clone := *h
	clone.text = h.text.WithAttrs(attrs)
	return &clone
}

// Writer makes lines of the log of what is written to it, in whole lines.
func (r *Reporter) Writer(level slog.Level) io.Writer { return logWriter{r, level} }

type logWriter struct {
	reporter *Reporter
	level    slog.Level
}

func (w logWriter) Write(text []byte) (int, error) {
	w.reporter.Report(Event{Type: Log, Level: w.level.String(), Text: strings.TrimSpace(string(text))})
	return len(text), nil
}

func (h *handler) WithGroup(name string) slog.Handler {
	clone := *h
	clone.text = h.text.WithGroup(name)
	return &clone
}
