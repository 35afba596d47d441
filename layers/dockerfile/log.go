package dockerfile

import (
	"bytes"
	"io"
	"slices"
	"sync"
)

const (
	// maxLine is where a line without an end is cut, in bytes.
	maxLine = 64 << 10
	// keptLines are repeated in the error of a command that fails.
	keptLines = 10
	// minMasked is the length below which a secret's line is not worth
	// masking: it would take half of the log with it.
	minMasked = 4
)

// sharedLog lets several containers write to one log, a line at a time.
type sharedLog struct {
	mu sync.Mutex
	w  io.Writer // may be nil
}

func (l *sharedLog) line(line []byte) error {
	if l.w == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.w.Write(line)
	return err
}

// lineWriter writes whole lines to a log, with a prefix and with secrets
// masked, and remembers the last ones.
type lineWriter struct {
	log     *sharedLog
	prefix  string
	secrets [][]byte
	partial []byte
	last    []string
}

func newLineWriter(log *sharedLog, prefix string) *lineWriter {
	return &lineWriter{log: log, prefix: prefix}
}

// mask keeps every line of a secret out of what is written from now on.
func (w *lineWriter) mask(secret []byte) {
	for line := range bytes.Lines(secret) {
		if line = bytes.TrimSpace(line); len(line) >= minMasked {
			w.secrets = append(w.secrets, line)
		}
	}
	// A secret that holds another is masked first, whole.
	slices.SortFunc(w.secrets, func(a, b []byte) int { return len(b) - len(a) })
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.partial = append(w.partial, p...)
	for {
		end := bytes.IndexByte(w.partial, '\n')
		if end < 0 && len(w.partial) < maxLine {
			return len(p), nil
		} else if end < 0 {
			end = len(w.partial) - 1
		}
		line := w.partial[:end+1]
		w.partial = w.partial[end+1:]
		if err := w.write(line); err != nil {
			return 0, err
		}
	}
}

// flush writes what has no end of line yet.
func (w *lineWriter) flush() error {
	if len(w.partial) == 0 {
		return nil
	}
	line := append(w.partial, '\n')
	w.partial = nil
	return w.write(line)
}

func (w *lineWriter) write(line []byte) error {
	for _, secret := range w.secrets {
		line = bytes.ReplaceAll(line, secret, []byte("[secret]"))
	}
	w.last = append(w.last, string(bytes.TrimRight(line, "\r\n")))
	w.last = w.last[max(0, len(w.last)-keptLines):]
	return w.log.line(append([]byte(w.prefix), line...))
}
