package ansible

import (
	"encoding/json"
	"testing"
)

func TestJobStatus(t *testing.T) {
	for text, want := range map[string]struct{ ended, failed bool }{
		`{"started": 1, "finished": 0, "ansible_job_id": "j1.2"}`:    {},
		`{"started": true, "finished": 0}`:                           {},
		`{"failed": 0, "started": 1, "finished": 1}`:                 {ended: true},
		`{"cmd": "x", "rc": 0, "changed": true}`:                     {ended: true},
		`{"cmd": "x", "rc": 3, "changed": true, "failed": true}`:     {ended: true, failed: true},
		`{"failed": 1, "cmd": "x", "msg": "no such file"}`:           {ended: true, failed: true},
		`{"started": 1, "fini`:                                       {},
		``:                                                           {},
		`{"rc": "a word", "msg": "of a module with other ideas"}`:    {ended: true},
		`{"started": 1, "finished": 1, "failed": 1, "msg": "timed"}`: {ended: true, failed: true},
	} {
		status := parseJobStatus([]byte(text))
		if status.ended() != want.ended || status.failed() != want.failed {
			t.Errorf("%s: ended %v, failed %v, want %+v", text, status.ended(), status.failed(), want)
		}
	}
}

func FuzzJobStatus(f *testing.F) {
	f.Add([]byte(`{"started": 1, "finished": 0, "rc": 1, "failed": true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if status := parseJobStatus(data); !json.Valid(data) && status.ended() {
			t.Errorf("a job with the half written file %q has ended", data)
		}
	})
}
