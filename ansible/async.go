package ansible

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"vauban/internal/command"
)

// maxJob bounds the wait for a job that no task waits for: the layer is cut
// when the playbook is over.
const maxJob = 5 * time.Minute

// finishJobs waits for the `async` tasks that still run when the playbook is
// over, and reports those that do not end or end badly. What no_log hides from
// the events is listed in a file.
func (r *record) finishJobs(ctx context.Context, targets []target, hiddenFile string) {
	hidden, err := readLines[event](hiddenFile)
	if err != nil {
		r.err = cmp.Or(r.err, fmt.Errorf("reading which jobs no_log hides: %w", err))
	}
	end := time.Now().Add(maxJob)
	for _, job := range leftJobs(slices.Concat(r.jobs, hidden)) {
		i := slices.IndexFunc(targets, func(t target) bool { return t.name == job.Host })
		if i < 0 || job.Job == "" {
			continue
		}
		limit := time.Now().Add(time.Duration(job.Limit) * time.Second)
		if limit.After(end) {
			limit = end
		}
		what := targets[i].finishJob(ctx, job.Job, limit)
		if what != "" && ctx.Err() == nil {
			r.pass(Passed{Host: job.Host, Task: job.Task, Path: r.copy.Relative(job.Path), What: what})
		}
	}
}

// leftJobs are the jobs that no task has waited for.
func leftJobs(events []event) []event {
	return slices.DeleteFunc(slices.Clone(events), func(job event) bool {
		return job.Event == "joined" || slices.ContainsFunc(events, func(e event) bool {
			return e.Event == "joined" && e.Host == job.Host && e.Job == job.Job[strings.LastIndex(job.Job, "/")+1:]
		})
	})
}

// finishJob waits for one job and says what came of it, if that is not good.
func (t target) finishJob(ctx context.Context, file string, limit time.Time) string {
	for {
		status, err := t.jobStatus(ctx, file)
		switch {
		case err != nil:
			return "" // a task took it away: async_status, mode cleanup
		case status.ended() && status.failed():
			return "async: its job failed"
		case status.ended():
			return ""
		case time.Now().After(limit):
			return fmt.Sprintf("async: its job still ran at the end of the stage, and was ended (%s at most)", maxJob)
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return ""
		}
	}
}

// jobStatus is what ansible's async_wrapper keeps of a job, as far as it is of
// interest: a note that it was started, which the module's result replaces.
type jobStatus struct{ Started, Finished, Failed, RC any }

// parseJobStatus reads a job's file, which the job may be writing.
func parseJobStatus(data []byte) jobStatus {
	var s jobStatus
	if json.Unmarshal(data, &s) != nil {
		s.Started = true
	}
	return s
}

func (s jobStatus) ended() bool { return !isTrue(s.Started) || isTrue(s.Finished) }

func (s jobStatus) failed() bool { return isTrue(s.Failed) || isTrue(s.RC) }

// isTrue: modules write a bool, or a number.
func isTrue(value any) bool {
	number, ok := value.(float64)
	return value == true || ok && number != 0
}

func (t target) jobStatus(ctx context.Context, file string) (jobStatus, error) {
	argv := slices.Concat(t.enter, []string{"cat", file})
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Group(cmd, syscall.SIGKILL, drainFor)
	out, err := cmd.Output()
	if err != nil {
		return jobStatus{}, fmt.Errorf("reading the file of a job: %w", err)
	}
	return parseJobStatus(out), nil
}
