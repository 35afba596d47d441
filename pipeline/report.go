package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vauban/ansible"
	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/progress"
)

type taskKey struct{}

// withTask says of what is done under ctx that it is a task's.
func withTask(ctx context.Context, t *plan.Task) context.Context {
	return context.WithValue(ctx, taskKey{}, t)
}

// report tells of an event of ctx's task.
func (r *Runner) report(ctx context.Context, e progress.Event) {
	if t, ok := ctx.Value(taskKey{}).(*plan.Task); ok {
		e.Kind, e.Subject = string(t.Kind), t.Subject()
	}
	r.Progress.Report(e)
}

// say tells what ctx's task is doing.
func (r *Runner) say(ctx context.Context, format string, args ...any) {
	r.report(ctx, progress.Event{Type: progress.Line, Text: fmt.Sprintf(format, args...)})
}

// notice tells what somebody should look at, though it is no failure: live, in
// run.log, and below ctx's task in the summary. Host is empty when it is about
// none.
func (r *Runner) notice(ctx context.Context, host, format string, args ...any) {
	r.report(ctx, progress.Event{Type: progress.Notice, Host: host, Text: fmt.Sprintf(format, args...)})
}

// begin opens the run's log and tells that it starts; end tells how it ended.
func (r *Runner) begin() (end func(context.Context, error) error, err error) {
	path := r.logPath("run")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the run's log: %w", err)
	}
	r.collected = progress.NewCollector()
	if r.Progress == nil {
		r.Progress = progress.New()
	}
	r.Progress.Hide(r.gate.redactor().String)
	r.linkLogs()
	removals := []func() error{r.Progress.Add(progress.Plain{W: log, Closer: log}), r.Progress.Add(r.collected)}
	start := time.Now()
	started := progress.Event{Type: progress.RunStarted, Tag: r.Tag, Path: r.logs, Log: path}
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

// taskEnded tells what became of a task.
func (r *Runner) taskEnded(ctx context.Context, o plan.Outcome) {
	e := progress.Event{Type: progress.TaskEnded, Outcome: progress.Done, Text: o.Note, Seconds: o.Took.Seconds()}
	if o.Err != nil {
		e.Outcome, e.Text, e.Failure = progress.Failed, o.Err.Error(), failure(o.Err)
		switch {
		case errors.Is(o.Err, plan.ErrSkipped):
			e.Outcome = progress.Skipped
		case ctx.Err() != nil && errors.Is(o.Err, context.Cause(ctx)):
			e.Outcome = progress.Interrupted
		default:
			e.Log = r.logFailure(r.logOf(o.Task, o.Err), o.Err)
		}
	}
	r.report(withTask(ctx, o.Task), e)
}

// hostEnded tells what became of a host.
func (r *Runner) hostEnded(ctx context.Context, m *config.Master, host string, err error) {
	e := progress.Event{Type: progress.HostEnded, Host: host, Outcome: progress.Done}
	if err != nil {
		e.Outcome, e.Text, e.Failure = progress.Failed, err.Error(), failure(err)
		e.Log = r.logFailure(m.HostImage(host), err)
	}
	r.report(ctx, e)
}

// failure is the task of a playbook that an error tells of.
func failure(err error) *progress.Failure {
	if task, ok := errors.AsType[*ansible.TaskError](err); ok {
		return &progress.Failure{Task: task.Task, Place: task.Place, Message: task.Message}
	}
	return nil
}

// logFailure ends a log with why it went wrong. It gives the log's path, or ""
// when there is no such log.
func (r *Runner) logFailure(name string, reason error) string {
	path := r.logPath(name)
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err == nil {
		_, err = fmt.Fprintf(log, "\nFAILED: %s\n", strings.TrimSpace(r.gate.redactor().String(reason.Error())))
		err = errors.Join(err, log.Close())
	}
	if err != nil {
		r.Log.Warn("a failure is missing in a log", "error", err)
	}
	return path
}

// logOf is the log that tells most of why a task failed.
func (r *Runner) logOf(t *plan.Task, err error) string {
	switch t.Kind {
	case plan.MakeBase:
		return t.Base.Image()
	case plan.MakeKernel:
		return t.Master.Image() + "/initramfs"
	case plan.MakeConffs:
		return t.Master.Image() + "/conffs"
	}
	if failure(err) == nil {
		// It is in no playbook's task: the stage that came last has more.
		for i := range slices.Backward(t.Master.Stages) {
			if _, err := os.Stat(r.logPath(t.Master.StageImage(i))); err == nil {
				return t.Master.StageImage(i)
			}
		}
	}
	return t.Master.Image()
}

// logPath is where the log of an image's name is.
func (r *Runner) logPath(name string) string {
	return filepath.Join(r.logs, strings.ReplaceAll(name, "/", "_")+".log")
}
