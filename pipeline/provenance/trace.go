package provenance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/internal/beneath"
	"vauban/layers"
)

// traceFormat changes when the same step would leave other entries.
const traceFormat = "1"

const (
	// maxStatus bounds what is read of dpkg's status file, in bytes: it has
	// some 2 KiB for each package.
	maxStatus = 64 << 20
	// maxTrace bounds /imginfo and /packages, which have some 100 bytes for
	// each package that a stage changed.
	maxTrace = 16 << 20
	// maxLabel bounds what is kept of them in the image's labels: registries
	// take manifests of 4 MiB at most, and keep them in memory.
	maxLabel = 1 << 20
)

type traced struct {
	layers.Step
	iso  string // the base's key
	date time.Time
	// stage is the entry, less what differs between containers.
	stage AppliedStage
	// source names the image below a container.
	source func(hostname string) string
}

// Origin is what the entries of a stage say besides what differs between
// containers.
type Origin struct {
	Base     string    // the base's key
	Date     time.Time // of the run
	Playbook string    // or the name of a Dockerfile
	Tool     string    // vauban and its version
	// Branch and Commit of the playbook. Empty: it is a Dockerfile.
	Branch, Commit string
	// Source names the image below a container.
	Source func(hostname string) string
}

// Trace is a step that leaves an entry of itself in /imginfo, and one of the
// packages that it changed in /packages.
func Trace(step layers.Step, o Origin) layers.Step {
	return &traced{Step: step, iso: o.Base, date: o.Date, source: o.Source, stage: AppliedStage{
		Date: o.Date.Format(dateLayout), Playbook: o.Playbook,
		GitSHA1: o.Commit, GitBranch: o.Branch, Tool: o.Tool,
	}}
}

var _ layers.Step = (*traced)(nil)

// Close closes the step.
func (t *traced) Close() error { return layers.CloseStep(t.Step) }

// Unwrap is the step itself.
func (t *traced) Unwrap() layers.Step { return t.Step }

// Key is the step's: entries tell how a result came about and make it no
// other one.
func (t *traced) Key(ctx context.Context, host string) (digest.Digest, error) {
	key, err := t.Step.Key(ctx, host)
	if err != nil {
		return "", err
	}
	return digest.FromString("traced " + traceFormat + " " + key.String()), nil
}

// Run runs the step, and adds the entries to those containers that it did not
// fail on.
func (t *traced) Run(ctx context.Context, containers []*layers.Container) error {
	failed := map[string]error{}
	before := map[*layers.Container][]debPackage{}
	var sound []*layers.Container
	for _, c := range containers {
		err := c.Inside(func() (err error) {
			before[c], err = readPackages(ctx)
			return err
		})
		if err != nil {
			failed[c.Name()] = err
			continue
		}
		sound = append(sound, c)
	}
	for _, c := range sound {
		delete(c.ImageConfig().Labels, ansible.LabelPassed) // the parent's
	}
	if len(sound) > 0 {
		err := t.Step.Run(ctx, sound)
		var partial *layers.PartialError
		if errors.As(err, &partial) && ctx.Err() == nil {
			maps.Copy(failed, partial.Failed)
		} else if err != nil {
			return err
		}
	}
	for _, c := range sound {
		if failed[c.Name()] == nil {
			if err := t.trace(ctx, c, before[c]); err != nil {
				failed[c.Name()] = fmt.Errorf("recording the stage: %w", err)
			}
		}
	}
	if len(failed) > 0 {
		return &layers.PartialError{Failed: failed}
	}
	return nil
}

// trace adds the entries to the files, and their text to the image's labels.
func (t *traced) trace(ctx context.Context, c *layers.Container, before []debPackage) error {
	stage := t.stage
	stage.Hostname, stage.Source, stage.SourceDigest = c.Name(), t.source(c.Name()), c.Parent().Digest().String()
	changes := PackageChanges{Playbook: stage.Playbook, Hostname: stage.Hostname}
	var imginfo, packages []byte
	err := c.Inside(func() error {
		after, err := readPackages(ctx)
		if err != nil {
			return err
		}
		for _, line := range packageChanges(before, after) {
			changes.Packages += line + "\n"
		}
		imginfo, err = t.extendFile(ctx, imginfoList, imginfoHead(t.iso, t.date), stage.lines())
		if err != nil {
			return err
		}
		packages, err = t.extendFile(ctx, packagesList, packagesHead, changes.lines())
		return err
	})
	if err != nil {
		return err
	}
	t.label(c, imginfo, packages)
	return nil
}

// label keeps the files' text where it is read without the image's layers.
// The parent's labels are inherited: what is not so of this stage goes.
func (t *traced) label(c *layers.Container, imginfo, packages []byte) {
	labels := maps.Clone(c.ImageConfig().Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if t.stage.GitSHA1 == "" {
		delete(labels, LabelCommit)
		delete(labels, LabelBranch)
	}
	delete(labels, LabelImginfo)
	delete(labels, LabelPackages)
	if len(imginfo)+len(packages) <= maxLabel { // else they are read in the image
		labels[LabelImginfo], labels[LabelPackages] = string(imginfo), string(packages)
	}
	c.ImageConfig().Labels = labels
}

// extendFile adds an entry to a file of the system whose root is this
// thread's, and returns the file's new text.
func (t *traced) extendFile(ctx context.Context, list traceList, head string, lines []string) ([]byte, error) {
	text, err := beneath.ReadFile(ctx, "/", string(list), maxTrace)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if text, err = list.extend(text, head, lines); err != nil {
		return nil, err
	}
	root, err := os.Stat("/")
	if err != nil {
		return nil, err
	}
	if err := replaceFile(string(list), text, t.date); err != nil {
		return nil, fmt.Errorf("writing %q: %w", list, err)
	}
	// That a file was renamed in it is not a change of the stage's.
	return text, os.Chtimes("/", root.ModTime(), root.ModTime())
}

// replaceFile puts a file of root's, mode 0644, in the place of whatever has
// its name. The commit syncs it.
func replaceFile(path string, text []byte, date time.Time) (err error) {
	f, err := os.CreateTemp("/", ".vauban-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close(), os.Chtimes(f.Name(), date, date)); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
