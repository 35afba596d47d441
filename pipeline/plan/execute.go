package plan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Outcome is what became of a task.
type Outcome struct {
	Task *Task
	// Err says why it failed; [ErrSkipped] that it was not tried.
	Err  error
	Took time.Duration
	// Note is what a person wants to know of a success.
	Note string
}

// ErrSkipped is the error of a task that needs one that failed.
var ErrSkipped = errors.New("not tried")

// Execute runs the tasks of a plan, at most jobs at once, each after those it
// needs, and tells ended of each. A failure stops what depends on it and
// nothing else.
func Execute(ctx context.Context, p *Plan, jobs int, do func(context.Context, *Task) (string, error), ended func(Outcome)) []Outcome {
	outcomes := make([]Outcome, len(p.Tasks))
	done := make(map[*Task]chan struct{}, len(p.Tasks))
	index := make(map[*Task]int, len(p.Tasks))
	for i, t := range p.Tasks {
		done[t], index[t] = make(chan struct{}), i
	}
	slots := make(chan struct{}, max(1, jobs))
	var all sync.WaitGroup
	for i, t := range p.Tasks {
		all.Go(func() {
			defer close(done[t])
			defer func() { ended(outcomes[i]) }()
			outcomes[i].Task = t
			for _, need := range t.Needs {
				<-done[need]
				if err := outcomes[index[need]].Err; err != nil && outcomes[i].Err == nil {
					outcomes[i].Err = fmt.Errorf("%w: %s failed", ErrSkipped, need)
				}
			}
			if outcomes[i].Err != nil {
				return
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			if outcomes[i].Err = context.Cause(ctx); outcomes[i].Err != nil {
				return
			}
			start := time.Now()
			outcomes[i].Note, outcomes[i].Err = do(ctx, t)
			outcomes[i].Took = time.Since(start)
		})
	}
	all.Wait()
	return outcomes
}
