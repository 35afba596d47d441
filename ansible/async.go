package ansible

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// maxJob bounds the wait for a job that no task waits for: the layer is cut
// when the playbook is over.
const maxJob = 5 * time.Minute

// finishJobs waits for the `async` tasks that still run when the playbook is
// over, and reports those that do not end or end badly.
func (r *record) finishJobs(ctx context.Context, targets []target) {
	end := time.Now().Add(maxJob)
	for _, job := range r.jobs {
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
			r.pass(Passed{Host: job.Host, Task: oneLine(job.Task), Path: r.copy.relative(job.Path), What: what})
		}
	}
}

// finishJob waits for one job and says what came of it, if that is not good.
func (t target) finishJob(ctx context.Context, file string, limit time.Time) string {
	for {
		status, err := t.jobStatus(ctx, file)
		switch {
		case err != nil:
			return "" // a task took it away: async_status, mode cleanup
		case status.ended() && (status.Failed.bool() || status.RC != 0):
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
// interest.
type jobStatus struct {
	Started  *int  `json:"started"`
	Finished int   `json:"finished"`
	Failed   truth `json:"failed"`
	RC       int   `json:"rc"`
}

// ended: the module's own result replaces the note that it was started.
func (s jobStatus) ended() bool { return s.Started == nil || s.Finished != 0 }

// truth is a bool or a number.
type truth struct{ value any }

func (t *truth) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &t.value) }

func (t truth) bool() bool { return t.value == true || t.value == float64(1) }

// jobStatus reads a job's file. The job may be writing it.
func (t target) jobStatus(ctx context.Context, file string) (jobStatus, error) {
	var status jobStatus
	argv := slices.Concat(t.enter, []string{"cat", file})
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.Output()
	if err != nil {
		return status, fmt.Errorf("reading the file of a job: %w", err)
	}
	if json.Unmarshal(out, &status) != nil {
		status.Started = new(int) // half written
	}
	return status, nil
}
