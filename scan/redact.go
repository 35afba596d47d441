package scan

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"vauban/internal/redact"
)

// maxLine is how much of a text without a line's end a [Redactor] keeps back
// at most, in bytes.
const maxLine = 1 << 20

// A Redactor takes secrets out of what people read. A nil one leaves all as it
// is.
type Redactor struct {
	replacer *strings.Replacer
	some     *Matcher // of those that do not count everywhere
	longest  int
}

// NewRedactor makes one of needles. Of a secret of several lines each line is
// taken out that is long enough to be looked for.
func NewRedactor(needles []Needle) *Redactor {
	var lines []string
	var some []Needle
	for _, n := range needles {
		if !n.anywhere() {
			some = append(some, n)
			continue
		}
		for line := range strings.Lines(n.Text) {
			line = strings.TrimSpace(line)
			if len(line) >= minSecret && !strings.HasPrefix(line, "-----") {
				lines = append(lines, line)
			}
		}
	}
	// Of two that begin in one place the longer is taken.
	slices.SortFunc(lines, func(a, b string) int { return len(b) - len(a) })
	r := &Redactor{some: New(some)}
	if len(some) > 0 {
		r.longest = r.some.keep()
	}
	pairs := make([]string, 0, 2*len(lines))
	for _, line := range lines {
		pairs = append(pairs, line, redact.Mark)
		r.longest = max(r.longest, len(line))
	}
	r.replacer = strings.NewReplacer(pairs...)
	return r
}

// String is the text without the secrets.
func (r *Redactor) String(text string) string {
	if r == nil {
		return text
	}
	return r.withoutSome(r.replacer.Replace(text))
}

// withoutSome takes out those that count in some places only.
func (r *Redactor) withoutSome(text string) string {
	var b strings.Builder
	data, done := []byte(text), 0
	r.some.search(data, func(i, at int) {
		if n := r.some.needles[i]; at >= done && n.fits(data, at, true, true) {
			b.WriteString(text[done:at] + redact.Mark)
			done = at + len(n.Text)
		}
	})
	return b.String() + text[done:]
}

// Writer takes the secrets out of what is written to w. It keeps an unfinished
// line until that has its end, or until Close, which closes w too.
func (r *Redactor) Writer(w io.WriteCloser) io.WriteCloser {
	if r == nil || r.longest == 0 {
		return w
	}
	return &redacting{to: w, r: r}
}

// redacting may be written to by several at once, as a file may.
type redacting struct {
	to io.WriteCloser
	r  *Redactor

	mu   sync.Mutex
	rest []byte
}

func (w *redacting) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	whole := 0 // bytes of whole lines
	if end := bytes.LastIndexByte(p, '\n'); end >= 0 {
		whole = len(w.rest) + end + 1
	}
	w.rest = append(w.rest, p...)
	if whole == 0 && len(w.rest) > maxLine {
		// What is kept may be the beginning of a secret.
		w.rest = []byte(w.r.String(string(w.rest)))
		whole = max(0, len(w.rest)-w.r.longest)
	}
	return len(p), w.flush(whole)
}

func (w *redacting) flush(n int) error {
	if n == 0 {
		return nil
	}
	_, err := io.WriteString(w.to, w.r.String(string(w.rest[:n])))
	w.rest = w.rest[:copy(w.rest, w.rest[n:])]
	return err
}

func (w *redacting) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.flush(len(w.rest)), w.to.Close())
}
