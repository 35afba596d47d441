package layers

import (
	"errors"
	"io"
	"maps"
)

// Inspect is shown a layer, as an uncompressed tar, while it is written. Its
// error refuses the layer, which is then stored nowhere. The labels become
// the image's; one that is empty is taken from it.
type Inspect func(container string, layer io.Reader) (labels map[string]string, err error)

// inspected writes what write writes to w, and shows it to inspect in the same
// pass.
func inspected(w io.Writer, inspect Inspect, container string, write func(io.Writer) error) (labels map[string]string, err error) {
	if inspect == nil {
		return nil, write(w)
	}
	read, shown := io.Pipe()
	done := make(chan error, 1)
	go func() {
		var err error
		labels, err = inspect(container, read)
		read.CloseWithError(err) // ends the writer
		done <- err
	}()
	err = write(io.MultiWriter(w, shown))
	shown.CloseWithError(err)
	if refused := <-done; refused != nil && (err == nil || errors.Is(err, refused) || errors.Is(err, io.ErrClosedPipe)) {
		return nil, refused
	}
	return labels, err
}

// relabelled is labels with what inspecting found.
func relabelled(labels, found map[string]string) map[string]string {
	all := merged(labels, found)
	maps.DeleteFunc(all, func(name, value string) bool { _, ok := found[name]; return ok && value == "" })
	return all
}
