package layers

import (
	"fmt"
	"os/exec"
)

// tools are the builder's programs that a container's life needs.
type tools struct {
	slirp string
}

func findTools() (tools, error) {
	var t tools
	for _, want := range []struct {
		path    *string
		program string
		from    string
	}{
		{&t.slirp, "slirp4netns", "slirp4netns"},
		{new(string), "runc", "runc"},
	} {
		path, err := exec.LookPath(want.program)
		if err != nil {
			return t, fmt.Errorf("looking for %q: %w (apt-get install %s)", want.program, err, want.from)
		}
		*want.path = path
	}
	return t, nil
}
