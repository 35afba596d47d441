package plan

import (
	"context"
	"errors"
	"sync"
	"testing"

	"vauban/config"
)

func TestExecute(t *testing.T) {
	base := &config.Base{Name: "base"}
	task := func(kind Kind, needs ...*Task) *Task { return &Task{Kind: kind, Base: base, Needs: needs} }
	root := task("root")
	bad := task("bad", root)
	after := task("after bad", bad)
	good := task("good", root)
	plan := &Plan{Tasks: []*Task{root, bad, after, good}}

	boom := errors.New("boom")
	var mu sync.Mutex
	done := map[Kind]bool{}
	ended := map[*Task]error{}
	outcomes := Execute(t.Context(), plan, 2, func(_ context.Context, task *Task, made Made[string]) (string, string, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, need := range task.Needs {
			if !done[need.Kind] {
				t.Errorf("%s ran before %s", task, need)
			}
			if made[need.Kind] != "product of "+string(need.Kind) {
				t.Errorf("%s was given %v", task, made)
			}
		}
		done[task.Kind] = true
		if task == bad {
			return "", "", boom
		}
		return "product of " + string(task.Kind), "fine", nil
	}, func(o Outcome[string]) {
		mu.Lock()
		defer mu.Unlock()
		ended[o.Task] = o.Err
	})
	for i, want := range []error{nil, boom, ErrSkipped, nil} {
		if got := outcomes[i]; got.Task != plan.Tasks[i] || !errors.Is(got.Err, want) {
			t.Errorf("%s: %v, want %v", plan.Tasks[i], got.Err, want)
		}
		if told, ok := ended[plan.Tasks[i]]; !ok || !errors.Is(told, want) {
			t.Errorf("%s ended with %v (told: %t), want %v", plan.Tasks[i], told, ok, want)
		}
	}
	if done["after bad"] {
		t.Error("a task ran although the one it needs failed")
	}
	if outcomes[3].Note != "fine" || outcomes[3].Product != "product of good" {
		t.Errorf("outcome %+v", outcomes[3])
	}
}

func TestExecuteStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	base := &config.Base{Name: "base"}
	first := &Task{Kind: "first", Base: base}
	plan := &Plan{Tasks: []*Task{first, {Kind: "second", Base: base, Needs: []*Task{first}}}}
	outcomes := Execute(ctx, plan, 1, func(_ context.Context, task *Task, _ Made[string]) (string, string, error) {
		if task != first {
			t.Errorf("%s ran", task)
		}
		cancel()
		return "", "", nil
	}, func(Outcome[string]) {})
	if outcomes[0].Err != nil || !errors.Is(outcomes[1].Err, context.Canceled) {
		t.Errorf("first %v, second %v", outcomes[0].Err, outcomes[1].Err)
	}
}
