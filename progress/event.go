// Package progress tells people and programs how a run goes: typed events go
// in, and renderers make lines, a live view or JSON of them.
package progress

import "time"

// Type says what an [Event] tells.
type Type string

// The types of events, in the order in which a run has them.
const (
	RunStarted  Type = "run_started"
	TaskStarted Type = "task_started"
	Line        Type = "line"   // something that a task says
	Hosts       Type = "hosts"  // how many hosts a task builds
	HostEnded   Type = "host"   // what became of one of them
	Image       Type = "image"  // an image has got its name, here and in the registry
	Notice      Type = "notice" // what somebody should look at, though it is no failure
	Released    Type = "release"
	TaskEnded   Type = "task_ended"
	RunEnded    Type = "run_ended"
	Log         Type = "log" // a line of vauban's own log
)

// Outcome is what became of a task, a host or a run.
type Outcome string

// The outcomes.
const (
	Done        Outcome = "done"
	Failed      Outcome = "failed"
	Skipped     Outcome = "skipped"     // not tried: something it needs failed
	Fresh       Outcome = "fresh"       // not needed: what there is was up to date
	Interrupted Outcome = "interrupted" // by a signal
)

// Event is one thing that happened. Which fields are set depends on Type;
// docs/running.md describes them for programs that read the JSON.
type Event struct {
	Time time.Time `json:"time"`
	Type Type      `json:"event"`
	// Kind and Subject name the task that it belongs to: rootfs of
	// master-12-web. Both are empty when it belongs to none.
	Kind    string `json:"kind,omitempty"`
	Subject string `json:"subject,omitempty"`
	Host    string `json:"host,omitempty"`
	// Text is for people.
	Text string `json:"text,omitempty"`
	// Outcome of what ended, and how long it took.
	Outcome Outcome `json:"outcome,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Failure is why, when what failed is a task of a playbook.
	Failure *Failure `json:"failure,omitempty"`
	// Log is the path of the log that has the details.
	Log string `json:"log,omitempty"`
	// Tasks are those of the plan, in its order.
	Tasks []Task `json:"tasks,omitempty"`
	// Total is how many hosts there are.
	Total int `json:"total,omitempty"`
	// Name and Digest of an image.
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Tag is the run's timestamp, Path the folder of a release.
	Tag  string `json:"tag,omitempty"`
	Path string `json:"path,omitempty"`
	// Level of a line of the log.
	Level string `json:"level,omitempty"`
}

// Task is one of a plan.
type Task struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject"`
}

// Failure is the task of a playbook that failed.
type Failure struct {
	Task string `json:"task"`
	// Place is the FILE:LINE of the task.
	Place   string `json:"place,omitempty"`
	Message string `json:"message"`
}

// Task names the task that an event belongs to, for people.
func (e Event) Task() string {
	if e.Kind == "" {
		return e.Subject
	}
	return e.Kind + " " + e.Subject
}
