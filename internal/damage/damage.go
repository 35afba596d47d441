// Package damage holds what is said of a state directory whose files are not
// as they were written.
package damage

import (
	"fmt"

	"vauban/internal/remedy"
)

// A Kind is a part of the state directory that can be damaged.
type Kind struct {
	// What it is, as "containerd's database".
	What string
	// Cost is what it takes to do without the damaged part.
	Cost string
}

// The kinds.
var (
	Database   = Kind{"containerd's database", "all images are removed from containerd and pulled again when they are needed; images that were never pushed are built again"}
	Snapshots  = Kind{"an unpacked image", "images are unpacked again when they are needed"}
	Blob       = Kind{"a part of an image", "the images that have it are pulled again when they are needed; images that were never pushed are built again"}
	Storage    = Kind{"the embedded registry", "images that have the damaged part lose their tags there and are built again"}
	Kernel     = Kind{"a kernel or an initramfs", "it is built again"}
	Collection = Kind{"a role or a collection", "it is installed again"}
	Download   = Kind{"a downloaded file", "it is downloaded again"}
	Record     = Kind{"a freshness record", "it is fetched from the registry again; images without another record count as stale"}
	Mirror     = Kind{"the mirror of the playbooks", "the repository is fetched again"}
	Release    = Kind{"a published release", "it stays as it is: build its master again, or remove it with vauban prune"}
)

// A Finding is one damaged thing.
type Finding struct {
	Kind
	Path string
	Err  error
	// Remove takes away what is damaged, and what cannot be used without it.
	// Nil: only a person can decide that.
	Remove func() error
}

// An Error says that something in a state directory is damaged and what to do.
type Error struct {
	StateDir string
	Findings []Finding
}

// In makes an error of findings; nil when there are none.
func In(stateDir string, findings ...Finding) error {
	if len(findings) == 0 {
		return nil
	}
	return &Error{StateDir: stateDir, Findings: findings}
}

func (e *Error) Error() string {
	f := e.Findings[0]
	what := fmt.Sprintf("the state directory is damaged: %s (%s): %v", f.What, f.Path, f.Err)
	if more := len(e.Findings) - 1; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	return remedy.Text(what, "", fmt.Sprintf("run vauban doctor --state %s --repair; then %s", e.StateDir, f.Cost))
}

// Unwrap gives the reasons.
func (e *Error) Unwrap() (errs []error) {
	for _, f := range e.Findings {
		errs = append(errs, f.Err)
	}
	return errs
}
