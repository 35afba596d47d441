package progress

import "slices"

// Summary is what came of a run. Its JSON is what `--output json` prints;
// fields are added, never changed.
type Summary struct {
	// Tag is the run's timestamp: of its images, releases and logs.
	Tag     string  `json:"tag"`
	Outcome Outcome `json:"outcome"`
	Seconds float64 `json:"seconds"`
	// Logs is the folder of the run's logs, Log the one of the whole run.
	Logs     string           `json:"logs"`
	Log      string           `json:"log"`
	Tasks    []*TaskSummary   `json:"tasks"`
	Images   []ImageSummary   `json:"images"`
	Releases []ReleaseSummary `json:"releases"`
	Notices  []NoticeSummary  `json:"notices"` // those of no task
}

// TaskSummary is what came of a task.
type TaskSummary struct {
	Kind    string  `json:"kind"`
	Subject string  `json:"subject"`
	Outcome Outcome `json:"outcome"`
	Seconds float64 `json:"seconds"`
	// Note is for people: why it failed or was not tried, what it made.
	Note    string   `json:"note,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
	Log     string   `json:"log,omitempty"`
	// Hosts is nil for tasks that build none.
	Hosts   *HostsSummary   `json:"hosts,omitempty"`
	Notices []NoticeSummary `json:"notices,omitempty"`
}

// HostsSummary counts a task's hosts and names those that failed.
type HostsSummary struct {
	Total  int          `json:"total"`
	Done   int          `json:"done"`
	Failed []FailedHost `json:"failed"`
}

// FailedHost is a host and why it failed.
type FailedHost struct {
	Host string `json:"host"`
	// Reason is the whole message; Failure the playbook's task, if it was
	// one.
	Reason  string   `json:"reason"`
	Failure *Failure `json:"failure,omitempty"`
	Log     string   `json:"log,omitempty"`
}

// ImageSummary is an image that the run made.
type ImageSummary struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// ReleaseSummary is a release that the run published.
type ReleaseSummary struct {
	Master string `json:"master"`
	Tag    string `json:"tag"`
	Path   string `json:"path"`
}

// NoticeSummary is something to look at.
type NoticeSummary struct {
	Host string `json:"host,omitempty"`
	Text string `json:"text"`
}

// Collector makes the summary of a run of its events.
type Collector struct{ summary Summary }

var _ Renderer = (*Collector)(nil)

// NewCollector makes one that has seen nothing.
func NewCollector() *Collector {
	return &Collector{Summary{Tasks: []*TaskSummary{}, Images: []ImageSummary{}, Releases: []ReleaseSummary{}, Notices: []NoticeSummary{}}}
}

// Summary is what the events so far tell.
func (c *Collector) Summary() *Summary { return &c.summary }

// Close does nothing.
func (c *Collector) Close() error { return nil }

// Render takes an event in.
func (c *Collector) Render(e Event) {
	s := &c.summary
	switch e.Type {
	case RunStarted:
		s.Tag, s.Logs, s.Log = e.Tag, e.Path, e.Log
		for _, t := range e.Tasks {
			s.Tasks = append(s.Tasks, &TaskSummary{Kind: t.Kind, Subject: t.Subject})
		}
	case RunEnded:
		s.Outcome, s.Seconds = e.Outcome, e.Seconds
	case Image:
		s.Images = append(s.Images, ImageSummary{e.Name, e.Digest})
	case Released:
		s.Releases = append(s.Releases, ReleaseSummary{e.Subject, e.Tag, e.Path})
	case Notice:
		notices := &s.Notices
		if e.Kind != "" {
			notices = &c.task(e).Notices
		}
		if notice := (NoticeSummary{e.Host, e.Text}); !slices.Contains(*notices, notice) {
			*notices = append(*notices, notice)
		}
	case TaskEnded:
		t := c.task(e)
		t.Outcome, t.Seconds, t.Note, t.Failure, t.Log = e.Outcome, e.Seconds, e.Text, e.Failure, e.Log
	case Hosts:
		c.hosts(e).Total += e.Total
	case HostEnded:
		h := c.hosts(e)
		if e.Outcome == Done {
			h.Done++
		} else {
			h.Failed = append(h.Failed, FailedHost{e.Host, e.Text, e.Failure, e.Log})
		}
	}
}

func (c *Collector) task(e Event) *TaskSummary {
	for _, t := range c.summary.Tasks {
		if t.Kind == e.Kind && t.Subject == e.Subject {
			return t
		}
	}
	t := &TaskSummary{Kind: e.Kind, Subject: e.Subject}
	c.summary.Tasks = append(c.summary.Tasks, t)
	return t
}

func (c *Collector) hosts(e Event) *HostsSummary {
	t := c.task(e)
	if t.Hosts == nil {
		t.Hosts = &HostsSummary{Failed: []FailedHost{}}
	}
	return t.Hosts
}
