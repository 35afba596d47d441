package progress

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at makes the events of a run, one a second.
func at(events ...Event) []Event {
	for i := range events {
		events[i].Time = time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC)
	}
	return events
}

// run is a run in which everything happens.
func run() []Event {
	web := func(e Event) Event { e.Kind, e.Subject = "rootfs", "master-12-web"; return e }
	hosts := func(e Event) Event { e.Kind, e.Subject = "conffs", "master-12-db"; return e }
	failed := &Failure{Task: "start the database", Place: "roles/db/tasks/main.yml:7", Message: "no such service\nsecond line"}
	return at(
		Event{Type: Log, Level: "INFO", Text: "level=INFO msg=early"},
		Event{Type: RunStarted, Tag: "20260301T120000Z", Path: "/state/logs/20260301T120000Z", Log: "/state/logs/20260301T120000Z/run.log",
			Tasks: []Task{{"rootfs", "master-12-web"}, {"conffs", "master-12-db"}, {"release", "master-12-db"}}},
		web(Event{Type: TaskStarted}),
		hosts(Event{Type: TaskStarted}),
		web(Event{Type: Line, Text: "playbook_web.yml: \x1b[2Jinstall nginx"}),
		hosts(Event{Type: Hosts, Total: 2}),
		web(Event{Type: Notice, Text: "it cannot keep the ACL of /srv"}),
		web(Event{Type: Notice, Text: "it cannot keep the ACL of /srv"}),
		hosts(Event{Type: HostEnded, Host: "db01", Outcome: Done}),
		hosts(Event{Type: HostEnded, Host: "db02", Outcome: Failed, Text: "task \"start the database\" failed: no such service\nsecond line",
			Failure: failed, Log: "/state/logs/20260301T120000Z/master-12-db_db02.log"}),
		Event{Type: Log, Level: "WARN", Text: "level=WARN msg=late"},
		web(Event{Type: Image, Name: "master-12-web:20260301T120000Z", Digest: "sha256:12"}),
		web(Event{Type: TaskEnded, Outcome: Done, Seconds: 61.2, Text: "sha256:12"}),
		hosts(Event{Type: TaskEnded, Outcome: Failed, Seconds: 9.34, Text: "1 of 2 hosts failed"}),
		Event{Type: Notice, Text: "host web09 has no master"},
		Event{Type: TaskEnded, Kind: "release", Subject: "master-12-db", Outcome: Skipped, Text: "not tried: conffs master-12-db failed"},
		Event{Type: RunEnded, Outcome: Failed, Seconds: 62, Text: "some of the work failed"},
	)
}

func report(renderer Renderer) {
	r := New(renderer)
	for _, e := range run() {
		r.Report(e)
	}
	r.Close()
}

func TestPlain(t *testing.T) {
	var out strings.Builder
	report(Plain{W: &out})
	golden(t, "plain", out.String())
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	report(JSON{W: &out})
	golden(t, "events.json", out.String())
}

func TestQuiet(t *testing.T) {
	var out strings.Builder
	report(Quiet{W: &out})
	if diff := cmp.Diff("level=WARN msg=late\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestCollector(t *testing.T) {
	c := NewCollector()
	report(c)
	golden(t, "summary.json", indented(t, c.Summary()))
	var out strings.Builder
	if err := c.Summary().Print(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary", out.String())
}

// closing counts how often it is closed.
type closing struct{ closed int }

func (c *closing) Render(Event) {}

func (c *closing) Close() error { c.closed++; return errors.New("closed") }

func TestReporterAddAndRemove(t *testing.T) {
	var first, second strings.Builder
	c := &closing{}
	r := New(Plain{W: &first}, c)
	log := slog.New(r.Handler(&slog.HandlerOptions{Level: slog.LevelInfo})).With("who", "me").WithGroup("g")
	log.Info("before", "k", "v\x1b[2J")
	log.Debug("unwanted")
	remove := r.Add(Plain{W: &second})
	r.Report(Event{Type: RunStarted, Tag: "tag"})
	if err := remove(); err != nil {
		t.Error(err)
	}
	r.Report(Event{Type: Line, Text: "after"})
	if err := r.Close(); err == nil || c.closed != 1 {
		t.Errorf("closed %d times: %v", c.closed, err)
	}
	if !strings.Contains(first.String(), "after") || strings.Contains(second.String(), "after") {
		t.Errorf("first %q, second %q", &first, &second)
	}
	for _, said := range []string{first.String(), second.String()} {
		if !strings.Contains(said, `msg=before who=me g.k="v\x1b[2J"`) || strings.Contains(said, "unwanted") || !strings.Contains(said, "run tag") {
			t.Errorf("it said %q", said)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	var r *Reporter
	r.Report(Event{Type: Line})
	c := &closing{}
	if err := r.Add(c)(); err == nil || c.closed != 1 {
		t.Errorf("closed %d times: %v", c.closed, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestReporterIsSafe(t *testing.T) {
	var out strings.Builder
	r := New(Plain{W: &out})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				r.Report(Event{Type: Line, Subject: "s", Text: strings.Repeat("x", 100)})
			}
		})
	}
	all.Wait()
	for line := range strings.Lines(out.String()) {
		if want := "s: " + strings.Repeat("x", 100) + "\n"; !strings.HasSuffix(line, want) || len(line) != len("15:04:05 ")+len(want) {
			t.Fatalf("torn: %q", line)
		}
	}
	if diff := cmp.Diff(400, strings.Count(out.String(), "\n")); diff != "" {
		t.Error(diff)
	}
}
