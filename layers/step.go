package layers

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// A Step changes root filesystems; the engine commits what it changed in each
// as one layer.
type Step interface {
	// Key digests everything the result depends on besides the parent image.
	// A host's key differs from its master's: host is "" for the master.
	Key(ctx context.Context, host string) (digest.Digest, error)
	// Run works on all containers at once: one for a master, one per host
	// for conffs. A *PartialError says that only some of them failed.
	Run(ctx context.Context, containers []*Container) error
}

// CloseStep closes a step that holds something open, such as a log: one that is
// an [io.Closer]. Others need no closing.
func CloseStep(s Step) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// PartialError is returned by [Step.Run] when some containers failed and the
// others are as they should be: the engine commits those.
type PartialError struct {
	// Failed holds why, by [Container.Name].
	Failed map[string]error
}

// Error names each failed container and its reason, sorted by name.
func (e *PartialError) Error() string {
	reasons := make([]string, 0, len(e.Failed))
	for _, name := range slices.Sorted(maps.Keys(e.Failed)) {
		reasons = append(reasons, fmt.Sprintf("%s: %v", name, e.Failed[name]))
	}
	return strings.Join(reasons, "\n")
}
