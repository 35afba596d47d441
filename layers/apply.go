package layers

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Target is one root filesystem that a step is to change.
type Target struct {
	ContainerOptions
	// Parent is the image the container starts from.
	Parent Image
	// Labels are this target's, besides those of the [Change].
	Labels map[string]string
}

// Result is what became of one target.
type Result struct {
	// Name is the target's.
	Name string
	// Image is the parent with one layer more. It is kept by this run's
	// lease until it gets a name.
	Image Image
	// Err says why there is no image.
	Err error
}

// Apply runs step on a container for each target and commits what it changed
// in each as one layer. The error tells of what concerns all of them; what
// concerns one is in its Result.
func (e *Engine) Apply(ctx context.Context, step Step, change Change, targets ...Target) ([]Result, error) {
	var results []Result
	err := e.with(ctx, targets, func(containers []*Container) error {
		failed, err := runStep(ctx, step, containers)
		if err != nil {
			return err
		}
		results = make([]Result, len(containers))
		var commits errgroup.Group
		commits.SetLimit(runtime.NumCPU())
		for i, c := range containers {
			results[i] = Result{Name: c.Name(), Err: failed[c.Name()]}
			if results[i].Err != nil {
				continue
			}
			commits.Go(func() error {
				change := change
				change.Labels = merged(change.Labels, targets[i].Labels)
				results[i].Image, results[i].Err = c.commit(ctx, change)
				return nil
			})
		}
		commits.Wait()
		// An interrupted commit is nobody's failure.
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Try runs step on one container, hands it to fn and forgets it: for steps
// that make something other than a layer.
func (e *Engine) Try(ctx context.Context, step Step, target Target, fn func(*Container) error) error {
	return e.with(ctx, []Target{target}, func(containers []*Container) error {
		if err := step.Run(ctx, containers); err != nil {
			return err
		}
		return fn(containers[0])
	})
}

// runStep tells the failure of some from the failure of all. What an
// interrupted step says is of no interest: it was killed.
func runStep(ctx context.Context, step Step, containers []*Container) (map[string]error, error) {
	err := step.Run(ctx, containers)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var partial *PartialError
	if errors.As(err, &partial) {
		for _, c := range containers {
			if failure := partial.Failed[c.Name()]; failure != nil {
				partial.Failed[c.Name()] = limited(c, failure)
			}
		}
		return partial.Failed, nil
	}
	for _, c := range containers {
		err = limited(c, err)
	}
	return nil, err
}

// limited adds to a failure that the container came to a limit. Without a
// failure it is only noted.
func limited(c *Container, err error) error {
	reached := c.limitError()
	if reached == nil {
		return err
	}
	if err == nil {
		c.engine.log.Warn(reached.Error(), "container", c.Name())
		return nil
	}
	return fmt.Errorf("%w: %w", reached, err)
}

// with starts a container for each target, hands them to fn and removes them,
// whatever happens.
func (e *Engine) with(ctx context.Context, targets []Target, fn func([]*Container) error) (err error) {
	containers := make([]*Container, len(targets))
	defer func() {
		ctx, cancel := afterwards(e.Context(ctx))
		defer cancel()
		var removals errgroup.Group
		for _, c := range containers {
			if c != nil {
				removals.Go(func() error { return c.remove(ctx) })
			}
		}
		if failed := removals.Wait(); failed != nil {
			err = errors.Join(err, fmt.Errorf("removing containers: %w", failed))
		}
	}()
	starts, starting := errgroup.WithContext(ctx)
	starts.SetLimit(2 * runtime.NumCPU())
	for i, target := range targets {
		starts.Go(func() (err error) {
			containers[i], err = e.start(starting, target.Parent, target.ContainerOptions)
			return err
		})
	}
	if err := starts.Wait(); err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
			return ctx.Err() // what was starting was killed
		} else if cause != nil {
			return fmt.Errorf("%w: %w", cause, err) // it says what it waited for
		}
		return err
	}
	// Nothing else goes on before everything in the containers is dead: what
	// has lost it ends sooner, and the machine has room for the cleaning up.
	defer whenDone(ctx, func() {
		for _, c := range containers {
			c.kill()
		}
	})()
	return fn(containers)
}

// whenDone calls fn when ctx ends, unless release was called before. After
// release fn does not run any more.
func whenDone(ctx context.Context, fn func()) (release func()) {
	called := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(called)
		fn()
	})
	return func() {
		if !stop() {
			<-called
		}
	}
}
