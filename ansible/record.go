package ansible

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"vauban/ansible/repository"
)

// event is what the callback plugin writes, one object a line. Which fields
// are there depends on Event.
type event struct {
	Event string // start, no mitogen, unattached, play, task, item, result, passed, async, joined, stats

	Version, Mitogen string         // start, unattached: ansible-core's, and Mitogen's where it is used
	Name, Pattern    string         // play
	Hosts            []string       // play: those it is for
	UUID             string         // task
	Stats            map[string]sum // stats

	Host, Task, Path  string // item, result, passed, async
	What              string // passed; unattached: what is missed
	Job               string // async: its results file; joined: the file's name
	Limit             int    // async: seconds
	Status            string // item, result
	Action, Delegated string
	Message, Label    string
	Body, Diff        string
}

// sum counts a host's task results.
type sum struct{ OK, Changed, Unreachable, Failures, Skipped, Rescued, Ignored int }

// record collects what ansible reports, and writes the hosts' logs.
type record struct {
	playbook *Playbook
	copy     *repository.Copy
	hosts    map[string]*hostRecord
	patterns []string // of the plays
	shown    map[string]bool
	started  bool // our plugins are at work
	// core and mitogen are versions; no mitogen is used when it has none
	core, mitogen string
	noMitogen     error // it is asked for, and cannot be used
	finished      bool
	err           error
	passed        notes
	jobs          []event // async, joined
	// neighbours each host read variables of
	neighbours map[string][]string
}

type hostRecord struct {
	idle    bool // no service runs
	log     io.WriteCloser
	task    string // the last header in the log
	played  bool
	item    string // why the last item of a loop failed that did
	failure *event // the last
	sum     sum
}

func (p *Playbook) newRecord(wc *repository.Copy, targets []target) (*record, error) {
	r := &record{playbook: p, copy: wc, hosts: map[string]*hostRecord{}, shown: map[string]bool{}}
	for _, t := range targets {
		h := &hostRecord{idle: slices.Contains(t.enter, offline)}
		r.hosts[t.name] = h
		if p.options.Output == nil {
			continue
		}
		var err error
		if h.log, err = p.options.Output(t.name); err != nil {
			return nil, errors.Join(fmt.Errorf("opening the log of %q: %w", t.name, err), r.close())
		}
	}
	return r, nil
}

func (r *record) close() error {
	errs := []error{r.err}
	for name, h := range r.hosts {
		if h.log == nil {
			continue
		}
		if err := h.log.Close(); err != nil {
			errs = append(errs, fmt.Errorf("closing the log of %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// read takes the events until the stream ends. Anything else ends it: the
// run then counts as unfinished.
func (r *record) read(stream io.Reader) {
	for events := json.NewDecoder(stream); ; {
		var e event
		if err := events.Decode(&e); err != nil {
			return
		}
		r.take(e)
	}
}

func (r *record) take(e event) {
	e.Task = r.copy.Relative(e.Task) // a role that was included by its path is named by it
	switch e.Event {
	case "start":
		r.started = true
		r.core, r.mitogen = e.Version, e.Mitogen
	case "no mitogen":
		r.noMitogen = fmt.Errorf("the strategy mitogen cannot be used (%s): install ansible-mitogen, name its "+
			"folder of strategies as strategy_plugins in ansible.cfg, or write `strategy: %s` below `ansible:` in config.yml", e.Message, Linear)
	case "unattached":
		r.playbook.notices(r.copy).notice("", fmt.Sprintf("unsupported ansible-core %s (%s): %s", e.Version, e.Message, e.What))
	case "play":
		r.patterns = append(r.patterns, e.Pattern)
		for _, name := range e.Hosts {
			if h := r.hosts[name]; h != nil {
				h.played = true
			}
		}
	case "task":
		r.progress(e)
	case "item", "result":
		if h := r.hosts[e.Host]; h != nil {
			r.result(h, e)
		}
	case "passed":
		r.pass(Passed{Host: e.Host, Task: e.Task, Path: r.copy.Relative(e.Path), What: e.What})
	case "async", "joined":
		r.jobs = append(r.jobs, e)
	case "stats":
		for name, s := range e.Stats {
			if h := r.hosts[name]; h != nil {
				h.sum = s
				r.log(h, fmt.Sprintf("\nok=%d changed=%d unreachable=%d failed=%d skipped=%d rescued=%d ignored=%d\n",
					s.OK, s.Changed, s.Unreachable, s.Failures, s.Skipped, s.Rescued, s.Ignored))
			}
		}
		r.finished = r.started
	}
}

// progress shows a task once, though under some strategies it starts once for
// each host.
func (r *record) progress(e event) {
	p := r.playbook
	if p.options.Progress == nil || r.shown[e.UUID] {
		return
	}
	r.shown[e.UUID] = true
	fmt.Fprintf(locked{&p.mu, p.options.Progress}, "%s: %s\n", p.options.Path, oneLine(e.Task))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (r *record) result(h *hostRecord, e event) {
	e.Path = r.copy.Relative(e.Path)
	bad := e.Status == "failed" || e.Status == "unreachable"
	switch {
	case e.Event == "item" && bad:
		h.item = e.Message
	case e.Event == "result":
		if bad {
			// of a loop ansible says only that items failed
			e.Message = cmp.Or(h.item, e.Message)
			h.failure = &e
		}
		h.item = ""
	}
	if header := fmt.Sprintf("\nTASK [%s] %s\n", oneLine(e.Task), e.Path); header != h.task {
		h.task = header
		r.log(h, header)
	}
	var line strings.Builder
	line.WriteString(e.Diff)
	line.WriteString(e.Status)
	if e.Delegated != "" {
		fmt.Fprintf(&line, " on %s", e.Delegated)
	}
	if e.Label != "" {
		fmt.Fprintf(&line, " (item=%s)", e.Label)
	}
	if e.Body != "" {
		fmt.Fprintf(&line, ": %s", e.Body)
	}
	r.log(h, r.copy.Relative(line.String())+"\n")
}

func (r *record) log(h *hostRecord, text string) {
	if h.log == nil {
		return
	}
	if _, err := io.WriteString(h.log, text); err != nil && r.err == nil {
		r.err = fmt.Errorf("writing a host's log: %w", err)
	}
}

// failed returns why each host failed that did.
func (r *record) failed() map[string]error {
	failed := map[string]error{}
	for name, h := range r.hosts {
		if h.sum.Failures > 0 || h.sum.Unreachable > 0 {
			failed[name] = r.failure(name, h)
		}
	}
	culprits := strings.Join(slices.Sorted(maps.Keys(failed)), ", ")
	together := r.playbook.options.Mode == Together && culprits != ""
	for name, h := range r.hosts {
		switch {
		case failed[name] != nil:
		case together:
			// Ansible may have stopped all without saying so, and what
			// this one got depends on the one that failed.
			failed[name] = fmt.Errorf("%q is built together with %s, which failed", name, culprits)
		case !h.played:
			failed[name] = r.unmatched(name)
		}
	}
	return failed
}

func (r *record) failure(name string, h *hostRecord) error {
	if h.failure == nil {
		return fmt.Errorf("ansible gave up on %q without naming a task: see its output", name)
	}
	return &TaskError{Task: oneLine(h.failure.Task), Place: h.failure.Path, Status: h.failure.Status,
		Message: r.copy.Relative(h.failure.Message) + hint(h.failure.Message, r.neighbours[name]) +
			mitogenHint(h.failure, r.core, r.mitogen) + serviceHint(h.failure, h.idle)}
}

// TaskError is the failure of a task on a host.
type TaskError struct {
	Task string
	// Place is the task's FILE:LINE in the repository.
	Place string
	// Status is failed or unreachable.
	Status string
	// Message is why, in one line or more; what no_log hides is not in it.
	Message string
}

func (e *TaskError) Error() string {
	return fmt.Sprintf("task %q (%s) %s: %s", e.Task, e.Place, e.Status, e.Message)
}

// hint explains failures that come from how vauban runs ansible: an
// image without python3, or facts of a neighbour, which independent hosts do not
// see.
func hint(message string, neighbours []string) string {
	if strings.Contains(message, "/usr/bin/python3: not found") {
		return "\nThe image has no python3: add it to the base (`include: [python3]`)"
	}
	undefined := strings.Contains(strings.ToLower(message), "undefined") || strings.Contains(message, "has no attribute")
	if !undefined || len(neighbours) == 0 {
		return ""
	}
	return fmt.Sprintf("\nThis host reads hostvars of %s: hosts that are built side by side do not see each other's facts, "+
		"unless config.yml says `ansible_run: together` for their master", strings.Join(neighbours, ", "))
}

// What clients say whose server does not run, and modules that are clients.
var (
	noServer = regexp.MustCompile(`(?i)connection refused|errno 111\b|can't connect to (local|mysql) |connection to server .*failed|could not connect to server|cannot connect to the docker daemon|fetching server api version|failed to connect to bus|has not been booted with systemd`)
	clients  = regexp.MustCompile(`(^|\.)(mysql|postgresql|mongodb|rabbitmq|docker|podman|proxysql|influxdb|elastic|ldap)_`)
)

// serviceHint explains failures that come from services not running in a stage.
func serviceHint(e *event, idle bool) string {
	if !idle || !noServer.MatchString(e.Message) && !clients.MatchString(e.Action) {
		return ""
	}
	return "\nNo service runs in this stage: if the task talks to one, write `init: systemd` for the master, or `init: systemd@` before the playbook"
}

// readNeighbours reads which hosts looked at which: see note_neighbour in
// ansible_collections/vauban/build/plugins/plugin_utils/run.py.
func (r *record) readNeighbours(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // none did
	} else if err != nil {
		return fmt.Errorf("reading which hosts looked at their neighbours: %w", err)
	}
	r.neighbours = map[string][]string{}
	for line := range strings.Lines(string(data)) {
		host, neighbour, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !slices.Contains(r.neighbours[host], neighbour) {
			r.neighbours[host] = append(r.neighbours[host], neighbour)
		}
	}
	return nil
}

func (r *record) unmatched(name string) error {
	o := r.playbook.options
	patterns := slices.Compact(slices.Sorted(slices.Values(r.patterns)))
	where := fmt.Sprintf("no play of %q is for %q: its plays are for %s", o.Path, name, strings.Join(patterns, ", "))
	if o.Conffs {
		return fmt.Errorf("%s: put the host in such a group of the inventory, or list the stage in `ignore_stage_in_conffs:`", where)
	}
	return fmt.Errorf("%s: give the master `groups:` with one of these", where)
}
