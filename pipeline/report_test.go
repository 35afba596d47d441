package pipeline

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"vauban/ansible"
	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/progress"
	"vauban/scan"
)

// TestFailureEndsALog looks in which log a failure stands, with the path that
// is told.
func TestFailureEndsALog(t *testing.T) {
	m := &config.Master{Name: "web", Stages: []config.Stage{{Raw: "a.yml", Playbook: "a.yml"}, {Raw: "b.yml", Playbook: "b.yml"}, {Raw: "c.yml", Playbook: "c.yml"}}}
	task := &ansible.TaskError{Task: "install", Place: "a.yml:3", Status: "failed", Message: "no"}
	for _, test := range []struct {
		name string
		kind plan.Kind
		err  error
		want string // "": none
	}{
		{"a playbook's task", plan.MakeRootfs, task, "web"},
		{"something else of the second stage", plan.MakeRootfs, errors.New("no python"), m.StageImage(1)},
		{"hosts", plan.MakeConffs, errors.New("1 of 2 hosts failed"), "web/conffs"},
		{"without a log", plan.MakeKernel, errors.New("no kernel"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := progress.NewCollector()
			r := &Runner{logs: logs{dir: t.TempDir(), redactor: func() *scan.Redactor { return nil }}, Options: Options{Log: slog.New(slog.DiscardHandler), Progress: progress.New(c)}}
			for _, name := range []string{"web", m.StageImage(0), m.StageImage(1), "web/conffs"} {
				if err := os.WriteFile(r.logs.path(name), []byte("said\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := Outcome{Task: &plan.Task{Kind: test.kind, Master: m}, Err: test.err}
			r.job(o.Task).ended(t.Context(), o)
			want := ""
			if test.want != "" {
				want = r.logs.path(test.want)
			}
			told := c.Summary().Tasks[0]
			if told.Log != want || told.Outcome != progress.Failed {
				t.Fatalf("told %+v, want log %q", told, want)
			}
			if want == "" {
				return
			}
			log, err := os.ReadFile(want)
			if end := "said\n\nFAILED: " + test.err.Error() + "\n"; err != nil || !strings.HasSuffix(string(log), end) {
				t.Errorf("the log is %q, %v", log, err)
			}
		})
	}
}
