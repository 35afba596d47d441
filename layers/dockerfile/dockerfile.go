// Package dockerfile executes the instructions of Dockerfiles in containers.
package dockerfile

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"vauban/layers"
)

// Step is a [layers.Step] that executes the instructions of a Dockerfile in
// the running container: all of them together make one layer.
//
// The image of its one FROM is the container's parent, whatever it says:
// "ARG SOURCE" and "FROM ${SOURCE}" say so openly. Instructions mean what
// they mean to Docker, except: several stages, COPY --from, COPY --parents,
// ADD of a git repository, RUN --network and --mount=type=ssh are refused;
// HEALTHCHECK and ONBUILD, which OCI images do not have, are ignored; COPY
// leaves the mode of directories that exist as it is unless --chmod or
// --chown are given; and what RUN changes in a VOLUME stays.
type Step struct {
	// Name is the file's, for errors and logs.
	Name string
	// Content is the Dockerfile itself.
	Content []byte
	// Context is the directory that COPY and ADD read, less what its
	// NAME.dockerignore or .dockerignore excludes. Links that lead out of
	// it are refused. Empty: there is none.
	Context string
	// Withheld are the files that the context does not have. What names one is
	// an error; what names a directory with one goes without it.
	Withheld []Withheld
	// Notice gets, once for each Run, what was left out as withheld. Nil: not
	// called.
	Notice func(text string)
	// Args are the values of ARG instructions.
	Args map[string]string
	// Secrets are what RUN --mount=type=secret may ask for, by id.
	Secrets map[string]Secret
	// CacheDir holds the directories of RUN --mount=type=cache, one for
	// each id, on the builder.
	CacheDir string
	// Log gets the instructions and what they print, each secret's value
	// masked. Nil discards it.
	Log io.Writer
}

// Secret reads a secret's value. It is a function so that nothing prints it
// by accident.
type Secret func() ([]byte, error)

var _ layers.Step = (*Step)(nil)

// Key digests the Dockerfile, its arguments, the ids of the secrets and what
// its COPY, ADD and bind mounts read of the context: name, type, mode and
// content, not owner and time. It fails for a Dockerfile that cannot run.
func (d *Step) Key(ctx context.Context, host string) (digest.Digest, error) {
	reads, err := d.reads()
	if err != nil {
		return "", err
	}
	key := digest.Canonical.Digester()
	fmt.Fprintf(key.Hash(), "dockerfile %q %q\n", host, d.Content)
	for _, name := range slices.Sorted(maps.Keys(d.Args)) {
		fmt.Fprintf(key.Hash(), "arg %q %q\n", name, d.Args[name])
	}
	for _, id := range slices.Sorted(maps.Keys(d.Secrets)) {
		fmt.Fprintf(key.Hash(), "secret %q\n", id)
	}
	if len(reads) == 0 {
		return key.Digest(), nil
	}
	files, err := d.openContext(nil)
	if err != nil {
		return "", err
	}
	defer files.close()
	for _, pattern := range reads {
		fmt.Fprintf(key.Hash(), "read %q\n", pattern)
		if err := files.digest(ctx, key.Hash(), pattern); err != nil {
			return "", fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return key.Digest(), nil
}

// Check finds mistakes in the Dockerfile, and sources that its context does not
// have, without a container.
func (d *Step) Check() error {
	reads, err := d.reads()
	if err != nil || len(reads) == 0 {
		return err
	}
	files, err := d.openContext(nil)
	if err != nil {
		return err
	}
	defer files.close()
	for _, pattern := range reads {
		if _, err := files.match(pattern); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}

// Run executes the Dockerfile in each container, some at once.
func (d *Step) Run(ctx context.Context, containers []*layers.Container) error {
	log := &sharedLog{w: d.Log}
	left := &leftOut{}
	if d.Notice != nil {
		defer func() {
			if text := left.notice(); text != "" {
				d.Notice(text)
			}
		}()
	}
	if len(containers) == 1 {
		return d.build(ctx, containers[0], newLineWriter(log, ""), left)
	}
	var mu sync.Mutex
	failed := map[string]error{}
	var builds errgroup.Group
	builds.SetLimit(2 * runtime.NumCPU())
	for _, c := range containers {
		builds.Go(func() error {
			if err := d.build(ctx, c, newLineWriter(log, c.Name()+": "), left); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[c.Name()] = err
			}
			return nil
		})
	}
	if err := builds.Wait(); err != nil {
		return err
	}
	if len(failed) > 0 {
		return &layers.PartialError{Failed: failed}
	}
	return nil
}
