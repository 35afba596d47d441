package pipeline

import (
	"context"
	"errors"
	"fmt"

	"vauban/ansible"
	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/progress"
)

// job is one task of a run: what is reported of it is reported as the task's.
type job struct {
	*Runner
	task *plan.Task // nil: the run as a whole
}

func (r *Runner) job(t *plan.Task) *job { return &job{r, t} }

// run does the task, if it has to be done.
func (j *job) run(ctx context.Context, given given) (Product, string, error) {
	j.report(progress.Event{Type: progress.TaskStarted})
	due, why, err := j.decide.due(ctx, j.task, given)
	switch {
	case err != nil:
		return nil, "", err
	case due:
		if why != "" {
			j.say("%s", why)
		}
		return j.do(ctx, given)
	case j.task.Kind == plan.MakeBase:
		return freshProduct(j.decide.image(ctx, j.task.Base.Image()))
	case j.task.Kind == plan.MakeRootfs:
		return freshProduct(j.decide.image(ctx, j.task.Master.Image()))
	}
	return nil, fresh, nil
}

// fresh is the note of a task that did not have to be done.
const fresh = "fresh"

func freshProduct(img Image, err error) (Product, string, error) { return product(img, fresh, err) }

func (j *job) do(ctx context.Context, given given) (Product, string, error) {
	m := j.task.Master
	switch j.task.Kind {
	case plan.MakeBase:
		return product((&baseTask{j, j.task.Base}).make(ctx))
	case plan.MakeRootfs:
		parent := made[Image](given, plan.MakeRootfs)
		if parent == nil {
			parent = made[Image](given, plan.MakeBase)
		}
		return product(j.makeRootfs(ctx, m, parent))
	case plan.MakeConffs:
		return product(j.makeConffs(ctx, m, made[Image](given, plan.MakeRootfs)))
	case plan.MakeKernel:
		return product(j.makeKernel(ctx, m, made[Image](given, plan.MakeRootfs)))
	case plan.MakeSquashfs:
		return product(j.makeSquashfs(ctx, m, made[Image](given, plan.MakeRootfs)))
	case plan.MakeRelease:
		return product((&releaseTask{job: j, master: m, squashfs: made[Squashfs](given, plan.MakeSquashfs),
			kernel: made[Kernel](given, plan.MakeKernel), conffs: made[Conffs](given, plan.MakeConffs)}).make(ctx))
	}
	return nil, "", fmt.Errorf("nothing makes a %s", j.task.Kind)
}

// report reports an event of the task.
func (j *job) report(e progress.Event) {
	if j.task != nil {
		e.Kind, e.Subject = string(j.task.Kind), j.task.Subject()
	}
	j.Progress.Report(e)
}

// say reports what the task is doing.
func (j *job) say(format string, args ...any) {
	j.report(progress.Event{Type: progress.Line, Text: fmt.Sprintf(format, args...)})
}

// notice reports what somebody should look at, though it is not a failure: live,
// in run.log, and below the task in the summary. Host is empty when it is about
// none.
func (j *job) notice(host, format string, args ...any) {
	j.report(progress.Event{Type: progress.Notice, Host: host, Text: fmt.Sprintf(format, args...)})
}

// ended reports what became of the task.
func (j *job) ended(ctx context.Context, o Outcome) {
	e := progress.Event{Type: progress.TaskEnded, Outcome: progress.Done, Text: o.Note, Seconds: o.Took.Seconds()}
	if o.Err != nil {
		e.Outcome, e.Text, e.Failure = progress.Failed, o.Err.Error(), failure(o.Err)
		switch {
		case errors.Is(o.Err, plan.ErrSkipped):
			e.Outcome = progress.Skipped
		case ctx.Err() != nil && errors.Is(o.Err, context.Cause(ctx)):
			e.Outcome = progress.Interrupted
		default:
			e.Log = j.failedIn(j.logOf(o.Err), o.Err)
		}
	}
	j.report(e)
}

// hostEnded reports what became of a host.
func (j *job) hostEnded(m *config.Master, host string, err error) {
	e := progress.Event{Type: progress.HostEnded, Host: host, Outcome: progress.Done}
	if err != nil {
		e.Outcome, e.Text, e.Failure = progress.Failed, err.Error(), failure(err)
		e.Log = j.failedIn(m.HostImage(host), err)
	}
	j.report(e)
}

// failedIn ends a log with why something failed and gives the log's path.
func (j *job) failedIn(name string, reason error) string {
	path, err := j.logs.fail(name, reason)
	if err != nil {
		j.Log.Warn("a failure is missing in a log", "error", err)
	}
	return path
}

// failure is the task of a playbook that an error is about.
func failure(err error) *progress.Failure {
	if task, ok := errors.AsType[*ansible.TaskError](err); ok {
		return &progress.Failure{Task: task.Task, Place: task.Place, Message: task.Message}
	}
	return nil
}

// logOf is the log that says most of why the task failed.
func (j *job) logOf(err error) string {
	m := j.task.Master
	switch j.task.Kind {
	case plan.MakeBase:
		return j.task.Base.Image()
	case plan.MakeKernel:
		return m.Image() + "/initramfs"
	case plan.MakeConffs:
		return m.Image() + "/conffs"
	}
	if failure(err) == nil {
		// It is in no playbook's task: the stage that came last has more.
		for i := len(m.Stages) - 1; i >= 0; i-- {
			if j.logs.has(m.StageImage(i)) {
				return m.StageImage(i)
			}
		}
	}
	return m.Image()
}
