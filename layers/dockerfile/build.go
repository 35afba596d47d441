package dockerfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"vauban/layers"

	docker "github.com/fsouza/go-dockerclient"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/openshift/imagebuilder"
	"github.com/openshift/imagebuilder/dockerfile/command"
	"github.com/openshift/imagebuilder/dockerfile/parser"
)

// dockerBuild executes one Dockerfile in one container. imagebuilder parses
// the file, keeps the variables and calls it back.
type dockerBuild struct {
	*Step
	ctx       context.Context // imagebuilder's calls carry none
	container *layers.Container
	context   *buildContext // nil: there is none
	log       *lineWriter

	// The bounds of a download; zero: see get and bounded.
	addTime, addWindow time.Duration
	maxAdded           int64
}

var _ imagebuilder.Executor = (*dockerBuild)(nil)

func (d *Step) build(ctx context.Context, c *layers.Container, log *lineWriter, left *leftOut) error {
	b := &dockerBuild{Step: d, ctx: ctx, container: c, log: log}
	if d.Context != "" {
		var err error
		if b.context, err = d.openContext(left); err != nil {
			return err
		}
		defer b.context.close()
	}
	result, err := d.evaluate(*c.ImageConfig(), b, func(text string) { fmt.Fprintln(log, text) })
	if err != nil {
		return errors.Join(err, log.flush())
	}
	*c.ImageConfig() = *result
	return log.flush()
}

// evaluate has executor do what the Dockerfile says, starting from an image's
// configuration, and returns that of the image to be.
func (d *Step) evaluate(from ocispec.ImageConfig, executor imagebuilder.Executor, say func(string)) (*ocispec.ImageConfig, error) {
	node, err := d.parse()
	if err != nil {
		return nil, err
	}
	b := imagebuilder.NewBuilder(d.Args)
	if _, err := b.From(node); err != nil {
		return nil, fmt.Errorf("%s: FROM: %w", d.Name, err)
	}
	if err := b.FromImage(&docker.Image{Config: dockerConfig(from)}, node); err != nil {
		return nil, fmt.Errorf("%s: FROM: %w", d.Name, err)
	}
	for i, instruction := range node.Children {
		say(fmt.Sprintf("STEP %d/%d: %s", i+1, len(node.Children), instruction.Original))
		if err := runInstruction(b, instruction, executor); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", d.Name, instruction.StartLine, strings.ToUpper(instruction.Value), err)
		}
		if slices.Contains([]string{command.Healthcheck, command.Onbuild}, instruction.Value) {
			say("ignored: OCI images have no " + strings.ToUpper(instruction.Value))
		}
	}
	config := imageConfig(from, b)
	return &config, nil
}

func (d *Step) parse() (*parser.Node, error) {
	node, err := imagebuilder.ParseDockerfile(bytes.NewReader(d.Content))
	if err != nil {
		return nil, fmt.Errorf("parsing %q: %w", d.Name, err)
	}
	var froms []*parser.Node
	for _, child := range node.Children {
		if child.Value == command.From {
			froms = append(froms, child)
		}
	}
	switch len(froms) {
	case 0:
		return nil, fmt.Errorf("%s: it has no FROM: begin it with the lines ARG SOURCE and FROM ${SOURCE}", d.Name)
	case 1:
		return node, nil
	}
	return nil, fmt.Errorf("%s:%d: a second FROM: Dockerfiles of several stages are not supported: make each stage a Dockerfile, or a master, of its own",
		d.Name, froms[1].StartLine)
}

func runInstruction(b *imagebuilder.Builder, instruction *parser.Node, executor imagebuilder.Executor) error {
	step := b.Step()
	if err := step.Resolve(instruction); err != nil {
		return err
	}
	return b.Run(step, executor, false)
}

// parentImage stands for the image of FROM: imagebuilder wants one named.
const parentImage = "parent"

func dockerConfig(c ocispec.ImageConfig) *docker.Config {
	config := &docker.Config{
		Image: parentImage,
		User:  c.User, Env: slices.Clone(c.Env), Entrypoint: c.Entrypoint, Cmd: c.Cmd,
		WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		Labels:       map[string]string{},
		Volumes:      map[string]struct{}{},
		ExposedPorts: map[docker.Port]struct{}{},
	}
	for name, value := range c.Labels {
		config.Labels[name] = value
	}
	for volume := range c.Volumes {
		config.Volumes[volume] = struct{}{}
	}
	for port := range c.ExposedPorts {
		config.ExposedPorts[docker.Port(port)] = struct{}{}
	}
	return config
}

func imageConfig(from ocispec.ImageConfig, b *imagebuilder.Builder) ocispec.ImageConfig {
	run := b.RunConfig
	config := from
	config.User, config.WorkingDir, config.StopSignal = run.User, run.WorkingDir, run.StopSignal
	config.Entrypoint, config.Cmd = run.Entrypoint, run.Cmd
	config.Env = mergeEnvironment(from.Env, run.Env)
	config.Labels, config.Volumes, config.ExposedPorts = nil, nil, nil
	if b.Author != "" {
		run.Labels[ocispec.AnnotationAuthors] = b.Author
	}
	if len(run.Labels) > 0 {
		config.Labels = run.Labels
	}
	if len(run.Volumes) > 0 {
		config.Volumes = run.Volumes
	}
	if len(run.ExposedPorts) > 0 {
		config.ExposedPorts = map[string]struct{}{}
		for port := range run.ExposedPorts {
			config.ExposedPorts[string(port)] = struct{}{}
		}
	}
	return config
}

// mergeEnvironment is base with the variables of more added or replaced.
func mergeEnvironment(base, more []string) []string {
	merged := slices.Clone(base)
	for _, variable := range more {
		name, _, _ := strings.Cut(variable, "=")
		same := func(v string) bool { return strings.HasPrefix(v, name+"=") }
		if i := slices.IndexFunc(merged, same); i >= 0 {
			merged[i] = variable
		} else {
			merged = append(merged, variable)
		}
	}
	return merged
}

// Preserve is asked for at a VOLUME: what RUN changes there is kept.
func (b *dockerBuild) Preserve(string) error { return nil }

// UnrecognizedInstruction is called for what is not an instruction.
func (b *dockerBuild) UnrecognizedInstruction(step *imagebuilder.Step) error {
	return errUnknownInstruction(step)
}

func errUnknownInstruction(step *imagebuilder.Step) error {
	return fmt.Errorf("unknown instruction %q", strings.ToUpper(step.Command))
}

// EnsureContainerPath makes a directory.
func (b *dockerBuild) EnsureContainerPath(path string) error {
	return b.EnsureContainerPathAs(path, "", nil)
}

// EnsureContainerPathAs makes the WORKDIR, for the USER.
func (b *dockerBuild) EnsureContainerPathAs(dir, user string, mode *os.FileMode) error {
	return b.container.Inside(func() error {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return nil
		}
		owner, err := lookUpOwner(user)
		if err != nil {
			return err
		}
		perm := fs.FileMode(0o755)
		if mode != nil {
			perm = *mode
		}
		_, err = makeDirs(path.Clean("/"+dir), perm, owner)
		return err
	})
}
