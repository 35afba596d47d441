package progress

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Folding is how a CI system is told which lines of a log belong together.
type Folding int

// The ways of folding.
const (
	NoFolding Folding = iota
	GitLab            // sections
	GitHub            // groups, and annotations of what failed
)

// FoldingOf reads from the environment in which CI system this runs.
func FoldingOf(env func(string) string) Folding {
	switch {
	case env("GITLAB_CI") != "":
		return GitLab
	case env("GITHUB_ACTIONS") == "true":
		return GitHub
	}
	return NoFolding
}

// Sections renders plain lines, those of a task together once it has ended:
// tasks run side by side, and sections of a log cannot overlap. What succeeded
// is folded.
type Sections struct {
	w       io.Writer
	folding Folding
	open    []*section // in the order of their start
}

// section is a task that runs.
type section struct {
	kind, subject string
	start         time.Time
	lines         strings.Builder
}

var _ Renderer = (*Sections)(nil)

// NewSections makes a renderer for a CI system's log.
func NewSections(w io.Writer, folding Folding) *Sections { return &Sections{w: w, folding: folding} }

// Render keeps what belongs to a task and writes the rest.
func (s *Sections) Render(e Event) {
	text := shortened(PlainText(e))
	if s.folding == GitHub {
		// The runner obeys these anywhere in a line.
		text = strings.ReplaceAll(text, "##[", "## [")
	}
	at := s.find(e)
	switch {
	case e.Type == TaskStarted:
		s.open = append(s.open, &section{kind: e.Kind, subject: e.Subject, start: e.Time})
		s.write(text)
	case at < 0:
		s.write(text)
		s.annotate(e)
	case e.Type == TaskEnded:
		s.open[at].lines.WriteString(text)
		s.end(s.open[at], e.Time, e.Outcome == Done)
		s.open = append(s.open[:at], s.open[at+1:]...)
		s.annotate(e)
	default:
		s.open[at].lines.WriteString(text)
		s.annotate(e)
	}
}

func (s *Sections) find(e Event) int {
	for i, open := range s.open {
		if open.kind == e.Kind && open.subject == e.Subject {
			return i
		}
	}
	return -1
}

var unfitForName = regexp.MustCompile(`[^a-zA-Z0-9_.-]`)

// end writes a task's lines. GitLab's marks are those of
// https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections,
// GitHub's of
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
func (s *Sections) end(t *section, at time.Time, folded bool) {
	title := t.kind + " " + t.subject
	switch s.folding {
	case GitLab:
		name := unfitForName.ReplaceAllString(t.kind+"_"+t.subject, "_")
		option := ""
		if folded {
			option = "[collapsed=true]"
		}
		s.write(fmt.Sprintf("\x1b[0Ksection_start:%d:%s%s\r\x1b[0K%s\n%s\x1b[0Ksection_end:%d:%s\r\x1b[0K\n",
			t.start.Unix(), name, option, title, &t.lines, at.Unix(), name))
	case GitHub:
		if !folded { // every group is folded
			s.write(t.lines.String())
			return
		}
		s.write(fmt.Sprintf("::group::%s\n%s::endgroup::\n", title, &t.lines))
	}
}

// annotate shows a failure next to the workflow.
func (s *Sections) annotate(e Event) {
	if s.folding != GitHub || e.Outcome != Failed || e.Type != TaskEnded && e.Type != HostEnded {
		return
	}
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	s.write(fmt.Sprintf("::error title=%s::%s\n", property.Replace(e.Task()), data.Replace(hosted(Event{Host: e.Host, Text: reason(e)}))))
}

func (s *Sections) write(text string) { _, _ = io.WriteString(s.w, text) }

// Close writes what tasks have said that did not end.
func (s *Sections) Close() error {
	for _, t := range s.open {
		s.end(t, time.Now(), false)
	}
	s.open = nil
	return nil
}

// shortened cuts very long lines, which the logs have whole.
func shortened(text string) string {
	const limit = 500
	if len(text) <= limit {
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if runes := []rune(line); len(runes) > limit {
			line = string(runes[:limit]) + "...\n"
		}
		out.WriteString(line)
	}
	return out.String()
}
