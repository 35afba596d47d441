package plan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Outcome is what became of a task.
type Outcome[P any] struct {
	Task *Task
	// Product is what the task made, the zero value where that is nothing.
	Product P
	// Err says why it failed; [ErrSkipped] that it was not tried.
	Err  error
	Took time.Duration
	// Note is what a person wants to know of a success.
	Note string
}

// Made are the products of the tasks that a task needs, by their kind: no task
// needs two of one kind.
type Made[P any] map[Kind]P

// ErrSkipped is the error of a task that needs one that failed.
var ErrSkipped = errors.New("not tried")

// Execute runs the tasks of a plan, at most jobs at the same time, each after
// those it needs, whose products it is given. A failure stops what depends on it
// and nothing else. Ended is called for each task.
func Execute[P any](ctx context.Context, p *Plan, jobs int, do func(context.Context, *Task, Made[P]) (P, string, error), ended func(Outcome[P])) []Outcome[P] {
	outcomes := make([]Outcome[P], len(p.Tasks))
	done := make(map[*Task]chan struct{}, len(p.Tasks))
	index := make(map[*Task]int, len(p.Tasks))
	for i, t := range p.Tasks {
		done[t], index[t] = make(chan struct{}), i
	}
	slots := make(chan struct{}, max(1, jobs))
	var all sync.WaitGroup
	for i, t := range p.Tasks {
		all.Go(func() {
			o := &outcomes[i]
			defer close(done[t])
			defer func() { ended(*o) }()
			o.Task = t
			made := Made[P]{}
			for _, need := range t.Needs {
				<-done[need]
				needed := outcomes[index[need]]
				if needed.Err != nil && o.Err == nil {
					o.Err = fmt.Errorf("%w: %s failed", ErrSkipped, need)
				}
				made[need.Kind] = needed.Product
			}
			if o.Err != nil {
				return
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			if o.Err = context.Cause(ctx); o.Err != nil {
				return
			}
			start := time.Now()
			o.Product, o.Note, o.Err = do(ctx, t, made)
			o.Took = time.Since(start)
		})
	}
	all.Wait()
	return outcomes
}
