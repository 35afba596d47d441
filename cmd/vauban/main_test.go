package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vauban runs the command line as main would and gives its exit code and what
// it printed.
func vauban(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	oldOut, oldErr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = outW, errW
	defer func() { os.Stdout, os.Stderr = oldOut, oldErr }()
	printed := make(chan [2]string)
	go func() {
		var out, errs bytes.Buffer
		out.ReadFrom(outR)
		errs.ReadFrom(errR)
		printed <- [2]string{out.String(), errs.String()}
	}()
	code = run(args)
	outW.Close()
	errW.Close()
	both := <-printed
	return code, both[0], both[1]
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const good = `
suite:
  release: bookworm
  name: base/iso
  web:
    stages: [b.yml]
    conffs: "web*"
`

func TestExitCodes(t *testing.T) {
	bad := strings.Replace(good, "stages", "stagse", 1)
	for _, tt := range []struct {
		name   string
		config string
		args   []string
		code   int
		out    string // in stdout
		err    string // in stderr
	}{
		{"a plan", good, []string{"plan", "web"}, 0, "conffs    web", ""},
		{"a check", good, []string{"build", "web", "--check", "--build-parents", "1"}, 0, "base      base/iso", ""},
		{"a tree", good, []string{"tree"}, 0, "└── web: b.yml (hosts web*)", ""},
		{"a version", good, []string{"version"}, 0, "vauban " + version + " (commit ", ""},
		{"a mistake in the configuration", bad, []string{"tree"}, 2, "", "config.yml:6:5:"},
		{"no configuration", "", []string{"plan", "web"}, 2, "", "the file is empty"},
		{"an unknown master", good, []string{"plan", "wbe"}, 2, "", "wbe"},
		{"another stage", good, []string{"plan", "web", "--stage", "x"}, 2, "", `stage "x"`},
		{"another number of parents", good, []string{"plan", "web", "--build-parents", "x"}, 2, "", "--build-parents"},
		{"no arguments", good, []string{"build"}, 2, "", "name a master or a base to build"},
		{"no arguments of another command", good, []string{"boot"}, 2, "", "missing argument (usage: vauban boot MASTER"},
		{"no such configuration", good, []string{"tree", "--config", "/nowhere/config.yml"}, 2, "", "/nowhere/config.yml does not exist here"},
		{"a word for a number", good, []string{"prune", "--keep", "x"}, 2, "", `"--keep" flag: it takes a number`},
		{"an unknown command of a command", good, []string{"export", "x"}, 2, "", "vauban export --help"},
		{"an unknown flag", good, []string{"tree", "--x"}, 2, "", "--help"},
		{"an unknown command", good, []string{"x"}, 2, "", `unknown command "x"`},
		{"another level", good, []string{"--log-level", "x", "boot", "web"}, 2, "", "--log-level"},
		{"a level of a command without a log", good, []string{"--log-level", "x", "tree"}, 2, "", "--log-level"},
		{"a check of less than no jobs", good, []string{"build", "web", "--check", "--jobs", "-1"}, 2, "", "--jobs take 1 or more"},
		{"no hosts at once", good, []string{"build", "web", "--batch", "0"}, 2, "", "--jobs take 1 or more"},
		{"a check of no time", good, []string{"build", "web", "--check", "--timeout", "-1s"}, 2, "", "a time limit is positive"},
		{"a stage in no time", "", []string{"stage", "-s", "base", "--timeout", "-1s"}, 2, "", "a time limit is positive"},
		{"no base", "configuration: {ansible_repo: pb}", []string{"build", "--if-stale"}, 2, "", "config.yml:1:1: no base is declared"},
		{"a name of the published tree", "suite:\n  release: bookworm\n  linux:\n", []string{"build", "linux", "--check"}, 2, "", `config.yml:3:3: master "linux" cannot be published`},
		{"another compression", "suite:\n  release: bookworm\n  web:\n    export: {compression: lz4}\n", []string{"tree"}, 2, "", `config.yml:4:27: "lz4" is not a value of "compression"`},
		{"drift of no folder", good, []string{"drift", "/nowhere", "--against", "web/web01"}, 1, "", "/nowhere: no such file"},
		{"a base cannot boot", good, []string{"boot", "suite"}, 2, "", "is a base"},
		{"nothing is published", good, []string{"boot", "web", "--state", t.TempDir()}, 1, "", "no release"},
		{"a stage of nothing", "", []string{"stage", "a.yml"}, 2, "", "--source-image IMAGE or --iso FILE"},
		{"a stage with another word", "", []string{"stage", "-s", "base", "--conffs", "maybe"}, 2, "", "use yes or no"},
		{"a stage with a key that is not there", "", []string{"stage", "-s", "base", "-k", "/nowhere/key"}, 2, "", "is not a file"},
		{"a stage without a repository", "", []string{"stage", "-s", "base", "a.yml", "--state", t.TempDir()}, 2, "", "ANSIBLE_REPO"},
		{"a history of no machine", good, []string{"history", "ssh:-oProxyCommand=x"}, 2, "", "is not a machine"},
		{"drift from nothing", good, []string{"drift", "/live/cow/rw"}, 2, "", "--against is missing"},
		{"drift of no machine", good, []string{"drift", "ssh:a b", "--against", "web/web01"}, 2, "", "is not a machine"},
		{"drift in a folder of a folder", good, []string{"drift", "/x", "--against", "web/web01", "--dir", "/y"}, 2, "", "--dir is for"},
		{"ci with less than no jobs", good, []string{"ci", "--jobs", "-1"}, 2, "", "--jobs take 1 or more"},
		{"caches that are no age old", good, []string{"prune", "--keep", "1", "--unused", "soon"}, 2, "", "write for example 30d"},
		{"caches of a year ago", good, []string{"prune", "--keep", "1", "--unused", "365d", "nothing"}, 2, "", `no base or master "nothing"`},
		{"a plan of no branch", good, []string{"plan", "web", "--branch", "-x"}, 2, "", "branch"},
		{"a plan of nothing", good, []string{"plan"}, 2, "", "name a master or a base to build"},
		{"nothing to serve", good, []string{"serve", "--state", t.TempDir()}, 1, "", "build a master first (vauban build MASTER)"},
		{"no socket of containerd", good + "\nconfiguration:\n  containerd_address: /nowhere/sock\n", []string{"images", "--state", t.TempDir()}, 1, "", `containerd has no socket at "/nowhere/sock": correct CONTAINERD_ADDRESS`},
		{"arguments that no shell splits", good + "\nconfiguration:\n  ansible_extra_args: \"-e 'open\"\n", []string{"status"}, 2, "", `config.yml:10:23: "ansible_extra_args" cannot be split into words at column 4`},
		{"ci without a name", good, []string{"ci"}, 2, "", "`name` is not set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"--config", configFile(t, tt.config)}, tt.args...)
			code, out, errs := vauban(t, args...)
			if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.err) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
			}
		})
	}
}
