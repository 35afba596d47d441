package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"vauban/progress"
)

// begin opens the run's log and shows that it starts; end tells how it ended.
func (r *Runner) begin() (end func(context.Context, error) error, err error) {
	path := r.logs.path("run")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the run's log: %w", err)
	}
	r.collected = progress.NewCollector()
	if r.Progress == nil {
		r.Progress = progress.New()
	}
	r.Progress.Hide(r.gate.Redactor().String)
	r.linkLogs()
	removals := []func() error{r.Progress.Add(progress.Plain{W: log, Closer: log}), r.Progress.Add(r.collected)}
	start := time.Now()
	started := progress.Event{Type: progress.RunStarted, Tag: r.Tag, Path: r.logs.dir, Log: path}
	for _, t := range r.plan.Tasks {
		started.Tasks = append(started.Tasks, progress.Task{Kind: string(t.Kind), Subject: t.Subject()})
	}
	r.Progress.Report(started)
	return func(ctx context.Context, err error) error {
		ended := progress.Event{Type: progress.RunEnded, Outcome: progress.Done, Seconds: time.Since(start).Seconds()}
		switch {
		case ctx.Err() != nil:
			ended.Outcome = progress.Interrupted
		case err != nil:
			ended.Outcome = progress.Failed
		}
		if err != nil {
			ended.Text = err.Error()
		}
		r.Progress.Report(ended)
		errs := []error{err}
		for _, remove := range removals {
			errs = append(errs, remove())
		}
		return errors.Join(errs...)
	}, nil
}

// Summary is what came of the run; nil before there was one.
func (r *Runner) Summary() *progress.Summary {
	if r.collected == nil {
		return nil
	}
	return r.collected.Summary()
}
