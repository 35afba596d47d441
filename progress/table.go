package progress

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes the summary for people: a line for each task, the hosts that
// failed, what to look at, and where the logs are.
func (s *Summary) Print(out io.Writer) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "RESULT\tKIND\tSUBJECT\tHOSTS\tTIME\tNOTE\n")
	for _, t := range s.Tasks {
		outcome := t.Outcome
		if outcome == "" {
			outcome = "-" // the run ended before
		}
		note, _, _ := strings.Cut(t.Note, "\n")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", outcome, t.Kind, t.Subject, t.Hosts, Took(t.Seconds), note)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	s.printFailures(&text)
	s.printNotices(&text)
	for _, release := range s.Releases {
		fmt.Fprintf(&text, "published %s\n", release.Path)
	}
	fmt.Fprintf(&text, "%s after %s; log: %s\n", s.Outcome, Took(s.Seconds), s.Log)
	_, err := io.WriteString(out, text.String())
	return err
}

// String is how many of all were built.
func (h *HostsSummary) String() string {
	if h == nil {
		return ""
	}
	return fmt.Sprintf("%d/%d", h.Done, h.Total)
}

func (s *Summary) printFailures(out io.Writer) {
	for _, t := range s.Tasks {
		task := t.Kind + " " + t.Subject
		if t.Outcome == Failed {
			// a longer reason than the table has room for, or a log
			if lines := reason(Event{Text: t.Note, Log: t.Log, Outcome: Failed}); strings.Contains(lines, "\n") {
				fmt.Fprintf(out, "\n%s failed: %s\n", task, setOff(lines))
			}
		}
		if t.Hosts == nil {
			continue
		}
		for _, h := range t.Hosts.Failed {
			fmt.Fprintf(out, "\n%s: %s failed: %s\n", task, h.Host, setOff(reason(Event{Text: h.Reason, Log: h.Log, Outcome: Failed})))
		}
	}
	fmt.Fprintln(out)
}

func (s *Summary) printNotices(out io.Writer) {
	show := func(task string, notices []NoticeSummary) {
		for _, n := range notices {
			text := hosted(Event{Host: n.Host, Text: n.Text})
			if task != "" {
				text = task + ": " + text
			}
			fmt.Fprintf(out, "notice: %s\n", setOff(text))
		}
	}
	show("", s.Notices)
	for _, t := range s.Tasks {
		show(t.Kind+" "+t.Subject, t.Notices)
	}
}

// setOff sets the lines after the first off.
func setOff(text string) string { return strings.ReplaceAll(text, "\n", "\n    ") }
