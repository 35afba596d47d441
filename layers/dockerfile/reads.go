package dockerfile

import (
	"os"
	"slices"
	"strings"

	docker "github.com/fsouza/go-dockerclient"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/openshift/imagebuilder"
	"github.com/openshift/imagebuilder/dockerfile/command"
	"github.com/openshift/imagebuilder/dockerfile/parser"
)

// contextReads is an executor that does nothing but note what would be read
// of the context, and refuse what would be refused later.
type contextReads struct {
	secrets  map[string]Secret
	patterns []string
}

var _ imagebuilder.Executor = (*contextReads)(nil)

// reads gives the patterns of the context's files that the Dockerfile reads,
// sorted.
func (d *Step) reads() ([]string, error) {
	reads := &contextReads{secrets: d.Secrets}
	if _, err := d.evaluate(ocispec.ImageConfig{}, reads, func(string) {}); err != nil {
		return nil, err
	}
	node, err := d.parse()
	if err != nil {
		return nil, err
	}
	if len(reads.patterns) > 0 && slices.ContainsFunc(node.Children, readsByVariable) {
		// Its value may come from the parent image, which is not known
		// here: any file may be meant.
		return []string{"."}, nil
	}
	slices.Sort(reads.patterns)
	return slices.Compact(reads.patterns), nil
}

func readsByVariable(instruction *parser.Node) bool {
	switch instruction.Value {
	case command.Copy, command.Add:
		return strings.Contains(instruction.Original, "$")
	case command.Run:
		return strings.Contains(strings.Join(instruction.Flags, " "), "$")
	}
	return false
}

// Copy notes the sources.
func (r *contextReads) Copy(_ []string, copies ...imagebuilder.Copy) error {
	for _, c := range copies {
		if err := checkCopy(c); err != nil {
			return err
		}
		for _, source := range c.Src {
			if !isHeredoc(source) && !(c.Download && isURL(source)) {
				r.patterns = append(r.patterns, source)
			}
		}
	}
	return nil
}

// Run notes the sources of bind mounts.
func (r *contextReads) Run(run imagebuilder.Run, _ docker.Config) error {
	mounts, err := parseRunMounts(run, r.secrets)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.kind == mountBind {
			r.patterns = append(r.patterns, m.source)
		}
	}
	return nil
}

// Preserve does nothing.
func (r *contextReads) Preserve(string) error { return nil }

// EnsureContainerPath does nothing.
func (r *contextReads) EnsureContainerPath(string) error { return nil }

// EnsureContainerPathAs does nothing.
func (r *contextReads) EnsureContainerPathAs(string, string, *os.FileMode) error { return nil }

// UnrecognizedInstruction refuses it.
func (r *contextReads) UnrecognizedInstruction(step *imagebuilder.Step) error {
	return errUnknownInstruction(step)
}
