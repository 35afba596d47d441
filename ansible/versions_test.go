package ansible

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckVersion(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"the oldest":  {"echo 'ansible-playbook [core 2.14.0]'", ""},
		"newer":       {"echo 'ansible-playbook [core 3.1.2rc1]'", ""},
		"too old":     {"echo 'ansible-playbook [core 2.9.27]'", "is of ansible-core 2.9.27, and vauban needs 2.14 or newer"},
		"older still": {"echo 'ansible-playbook 2.9.6'", `says "ansible-playbook 2.9.6"`},
		"broken":      {"exit 3", "exit status 3"},
		"environment": {`echo "ansible-playbook [core $CORE]"`, ""},
	} {
		program := filepath.Join(t.TempDir(), "ansible-playbook")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		c := &Controller{programs: &programs{playbook: program, environ: []string{"CORE=2.16.1"}}}
		err := c.CheckVersion(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add("2.14.18", "0.3.24rc1")
	f.Add("", "..x")
	f.Fuzz(func(t *testing.T, a, b string) {
		if before(a, b) && before(b, a) {
			t.Errorf("%q and %q are before each other", a, b)
		}
	})
}
