package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Live renders a terminal's view: a line for each task that runs and one for
// the whole, below what has ended and what the log says.
//
// It changes no mode of the terminal and hides no cursor, so that there is
// nothing to restore however the process ends.
type Live struct {
	view    *mpb.Progress
	footer  *mpb.Bar
	palette palette

	mu sync.Mutex // of what follows, which view reads
	// tasks that run
	tasks                     map[Task]*liveTask
	total, started, done, bad int
	start                     time.Time
}

// liveTask is a task that runs.
type liveTask struct {
	bar              *mpb.Bar
	name, last       string
	start            time.Time
	hosts, done, bad int
}

var _ Renderer = (*Live)(nil)

// NewLive starts a view on a terminal.
func NewLive(terminal *os.File, colors bool) *Live {
	l := &Live{palette: palette(colors), tasks: map[Task]*liveTask{}, start: time.Now()}
	l.view = mpb.New(
		mpb.WithConsoleWriter(&roomy{Writer: cupwriter.New(terminal, false)}),
		mpb.WithRefreshRate(200*time.Millisecond),
	)
	l.footer = l.bar(1<<30, func(width int) string { return l.footerLine(time.Now(), width) })
	return l
}

// roomy leaves the terminal's last line free: a view as high as the terminal
// would scroll its first line away at every refresh. It counts the lines that
// are written, as mpb's own count is wrong when there is no room for all.
type roomy struct {
	*cupwriter.Writer
	lines int
}

func (r *roomy) ReadFrom(row io.Reader) (int64, error) {
	n, err := r.Writer.ReadFrom(row)
	if n > 0 {
		r.lines++
	}
	return n, err
}

func (r *roomy) Flush(int) error {
	lines := r.lines
	r.lines = 0
	return r.Writer.Flush(lines)
}

func (r *roomy) GetTermSize() (width, height int, err error) {
	width, height, err = r.Writer.GetTermSize()
	if width <= 0 {
		width = 80 // a terminal that does not know
	}
	if height <= 0 {
		height = 24
	}
	return width, max(1, height-1), err
}

// bar adds a line of the view.
func (l *Live) bar(priority int, line func(width int) string) *mpb.Bar {
	bar, err := l.view.Add(0, mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		// One column less: a full line makes some terminals start another.
		_, err := io.WriteString(w, line(max(1, s.AvailableWidth-1)))
		return err
	}), mpb.BarPriority(priority), mpb.BarFillerTrim())
	if err != nil {
		return nil // the terminal is gone
	}
	return bar
}

// Render takes an event in.
func (l *Live) Render(e Event) {
	above := l.above(e)
	task := Task{e.Kind, e.Subject}
	switch e.Type {
	case RunStarted:
		l.set(func() { l.total, l.start = len(e.Tasks), e.Time })
	case TaskStarted:
		t := &liveTask{name: e.Task(), start: e.Time}
		l.started++ // Render alone writes it: those that start later stand lower
		bar := l.bar(l.started, func(width int) string {
			l.mu.Lock()
			defer l.mu.Unlock()
			return t.line(time.Now(), width, l.palette)
		})
		l.set(func() { t.bar, l.tasks[task] = bar, t })
	case TaskEnded:
		l.ended(task, e.Outcome)
	default:
		l.set(func() {
			if t := l.tasks[task]; t != nil {
				t.take(e)
			}
		})
	}
	if above != "" {
		_, _ = io.WriteString(l.view, above)
	}
}

func (l *Live) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *Live) ended(task Task, outcome Outcome) {
	var bar *mpb.Bar
	l.set(func() {
		l.done++
		if outcome == Failed {
			l.bad++
		}
		if t := l.tasks[task]; t != nil {
			bar = t.bar
			delete(l.tasks, task)
		}
	})
	if bar != nil {
		bar.Abort(true)
	}
}

// above is what scrolls above the view.
func (l *Live) above(e Event) string {
	switch e.Type {
	case TaskStarted, Line, Hosts, Image:
		return "" // the view shows them
	case HostEnded:
		if e.Outcome == Done {
			return ""
		}
	}
	return l.palette.paint(e, shortened(PlainText(e)))
}

// take changes what is shown of a task.
func (t *liveTask) take(e Event) {
	switch {
	case e.Type == Line:
		t.last = strings.Join(strings.Fields(shortened(e.Text)), " ")
	case e.Type == Hosts:
		t.hosts += e.Total
	case e.Type == HostEnded && e.Outcome == Done:
		t.done++
	case e.Type == HostEnded:
		t.bad++
	}
}

func (t *liveTask) line(now time.Time, width int, colors palette) string {
	text := fmt.Sprintf("%6s  %s", clock(now.Sub(t.start)), t.name)
	if t.hosts > 0 {
		text += fmt.Sprintf("  %d/%d hosts", t.done, t.hosts)
	}
	if t.bad > 0 {
		text += fmt.Sprintf(", %d failed", t.bad)
	}
	text = ansi.Truncate(text, width, "…")
	if room := width - ansi.StringWidth(text) - 2; t.last != "" && room > 3 {
		text += "  " + colors.faint(ansi.Truncate(t.last, room, "…"))
	}
	return text
}

func (l *Live) footerLine(now time.Time, width int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total == 0 {
		return ansi.Truncate(fmt.Sprintf("%6s  preparing", clock(now.Sub(l.start))), width, "…")
	}
	text := fmt.Sprintf("%6s  %d of %d tasks done", clock(now.Sub(l.start)), l.done, l.total)
	if l.bad > 0 {
		text += fmt.Sprintf(", %d failed", l.bad)
	}
	return ansi.Truncate(text, width, "…")
}

// clock is a running time: 0:07, 12:34, 1:02:03.
func clock(d time.Duration) string {
	seconds := int(d.Round(time.Second).Seconds())
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

// Close takes the view away; what has scrolled above it stays.
func (l *Live) Close() error {
	bars := []*mpb.Bar{l.footer}
	l.set(func() {
		for _, t := range l.tasks {
			bars = append(bars, t.bar)
		}
	})
	for _, bar := range bars {
		if bar != nil {
			bar.Abort(true)
		}
	}
	l.view.Wait()
	return nil
}

// palette reports whether there are colours.
type palette bool

func (p palette) faint(text string) string {
	if !p {
		return text
	}
	return ansi.NewStyle().Faint().Styled(text)
}

// paint colours the lines of an event by what became of it.
func (p palette) paint(e Event, text string) string {
	if !p {
		return text
	}
	style := ansi.NewStyle()
	switch {
	case e.Outcome == Failed:
		style = style.ForegroundColor(ansi.Red)
	case e.Outcome == Done:
		style = style.ForegroundColor(ansi.Green)
	case e.Type == Notice, e.Level == "WARN":
		style = style.ForegroundColor(ansi.Yellow)
	default:
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(style.Styled(strings.TrimSuffix(line, "\n")))
		out.WriteByte('\n')
	}
	return out.String()
}
