package progress

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Renderer shows events. Its methods are never called at once.
type Renderer interface {
	Render(Event)
	// Close is called once, after the last event.
	Close() error
}

// Reporter hands events to renderers, one at a time. Nothing that a terminal
// would obey is left in their texts. A nil Reporter takes events and shows
// them to nobody.
type Reporter struct {
	mu        sync.Mutex
	renderers []Renderer
	early     []Event // lines of the log from before there was a run
	started   bool
	hide      func(string) string
}

// New makes a reporter.
func New(renderers ...Renderer) *Reporter { return &Reporter{renderers: renderers} }

// Report shows an event, now unless it says when.
func (r *Reporter) Report(e Event) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e = changed(e, Sanitize)
	if r.hide != nil {
		e = changed(e, r.hide)
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	r.started = r.started || e.Type == RunStarted
	if e.Type == Log && !r.started {
		r.early = append(r.early, e)
	}
	for _, renderer := range r.renderers {
		renderer.Render(e)
	}
}

// Hide has secrets taken out of the texts of the events to come.
func (r *Reporter) Hide(redact func(string) string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hide = redact
}

// Add lets another renderer see the events to come, and the lines of the log
// from before the run. Remove takes it out and closes it.
func (r *Reporter) Add(renderer Renderer) (remove func() error) {
	if r == nil {
		return renderer.Close
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.early {
		renderer.Render(e)
	}
	r.renderers = append(r.renderers, renderer)
	return func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.renderers = slices.DeleteFunc(r.renderers, func(other Renderer) bool { return other == renderer })
		return renderer.Close()
	}
}

// Close closes the renderers.
func (r *Reporter) Close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, renderer := range r.renderers {
		errs = append(errs, renderer.Close())
	}
	r.renderers = nil
	return errors.Join(errs...)
}
