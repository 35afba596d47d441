package progress

import (
	"encoding/json"
	"io"
)

// JSON renders one object a line; docs/running.md describes them.
type JSON struct{ W io.Writer }

var _ Renderer = JSON{}

// Render writes an event's object.
func (j JSON) Render(e Event) {
	encoder := json.NewEncoder(j.W)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e)
}

// Close does nothing.
func (j JSON) Close() error { return nil }
