package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/pipeline/plan"
)

func TestReadCI(t *testing.T) {
	for _, tt := range []struct {
		name  string
		env   map[string]string
		want  buildFlags
		names []string
		debug bool
		err   string
	}{
		{name: "defaults", env: map[string]string{"name": "web"}, want: buildFlags{stage: "all", parents: "no"}, names: []string{"web"}},
		{
			name: "everything",
			env:  map[string]string{"name": "web db", "stage": "conffs", "build_parents": "2", "branch": "b", "conffs": "web01", "debug": "yes"},
			want: buildFlags{stage: "conffs", parents: "2", branch: "b", limit: "web01"}, names: []string{"web", "db"}, debug: true,
		},
		{name: "the job's stage", env: map[string]string{"name": "web", "CI_JOB_STAGE": "rootfs"}, want: buildFlags{stage: "rootfs", parents: "no"}, names: []string{"web"}},
		{name: "a job's stage of another kind", env: map[string]string{"name": "web", "CI_JOB_STAGE": "deploy"}, want: buildFlags{stage: "all", parents: "no"}, names: []string{"web"}},
		{name: "stage wins over the job's", env: map[string]string{"name": "web", "stage": "conffs", "CI_JOB_STAGE": "rootfs"}, want: buildFlags{stage: "conffs", parents: "no"}, names: []string{"web"}},
		{name: "the old name", env: map[string]string{"name": "web", "build_parent": "yes"}, want: buildFlags{stage: "all", parents: "yes"}, names: []string{"web"}},
		{name: "the new name wins", env: map[string]string{"name": "web", "build_parent": "yes", "build_parents": "0"}, want: buildFlags{stage: "all", parents: "0"}, names: []string{"web"}},
		{name: "the new name set to nothing is not set", env: map[string]string{"name": "web", "build_parent": "1", "build_parents": ""}, want: buildFlags{stage: "all", parents: "1"}, names: []string{"web"}},
		{name: "a job's stage in other letters", env: map[string]string{"name": "web", "CI_JOB_STAGE": "Rootfs"}, want: buildFlags{stage: "all", parents: "no"}, names: []string{"web"}},
		{name: "each of the job's words", env: map[string]string{"name": "web", "CI_JOB_STAGE": "initramfs"}, want: buildFlags{stage: "initramfs", parents: "no"}, names: []string{"web"}},
		{name: "a name that is spaces", env: map[string]string{"name": " \t"}, err: "`name` is not set"},
		{name: "a sign", env: map[string]string{"name": "web", "build_parents": "+1"}, err: "not a number of ancestors"},
		{name: "half a parent", env: map[string]string{"name": "web", "build_parents": "1.5"}, err: "not a number of ancestors"},
		{name: "true is no number", env: map[string]string{"name": "web", "build_parents": "true"}, err: "not a number of ancestors"},
		{name: "the wrong one is told although the other is right", env: map[string]string{"name": "web", "build_parents": "x", "build_parent": "1"}, err: "not a number of ancestors"},
		{name: "no name", env: map[string]string{}, err: "`name` is not set"},
		{name: "another stage", env: map[string]string{"name": "web", "stage": "build"}, err: "none of rootfs"},
		{name: "no number", env: map[string]string{"name": "web", "build_parents": "two"}, err: "not a number of ancestors"},
		{name: "below -1", env: map[string]string{"name": "web", "build_parents": "-2"}, err: "not a number of ancestors"},
		{name: "another debug", env: map[string]string{"name": "web", "debug": "maybe"}, err: "`debug`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := &buildFlags{}
			names, debug, err := got.readCI(func(name string) string { return tt.env[name] })
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, *got, cmp.AllowUnexported(buildFlags{}, reportFlags{}, formatFlag{})); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.names, names); diff != "" || debug != tt.debug {
				t.Errorf("names %v, debug %v: %s", names, debug, diff)
			}
		})
	}
}

// TestCIPlan plans what variables ask for.
func TestCIPlan(t *testing.T) {
	const tree = `
suite:
  release: bookworm
  name: base/iso
  one:
    two:
      conffs: "two*"
      three:
        conffs: "three*"
  lone:
`
	const (
		base = "base base/iso"
		one  = "rootfs one, squashfs one"
		two  = "rootfs two, squashfs two"
	)
	for _, tt := range []struct {
		env  map[string]string
		want string // the plan, less releases
		err  string
	}{
		{env: map[string]string{"name": "suite"}, want: base},
		{env: map[string]string{"name": "base/iso", "CI_JOB_STAGE": "rootfs"}, want: base},
		{env: map[string]string{"name": "base/iso", "build_parents": "yes"}, want: base},
		{env: map[string]string{"name": "suite", "CI_JOB_STAGE": "conffs"}, err: "is a base"},
		{env: map[string]string{"name": "suite lone", "stage": "rootfs"}, want: base + ", rootfs lone, squashfs lone"},
		{env: map[string]string{"name": "lone one", "stage": "rootfs"}, want: one + ", rootfs lone, squashfs lone"},
		{env: map[string]string{"name": "two two", "stage": "rootfs"}, want: two},
		{env: map[string]string{"name": "two", "stage": "rootfs", "build_parents": "1"}, want: one + ", " + two},
		{env: map[string]string{"name": "two", "stage": "rootfs", "build_parents": "2"}, want: base + ", " + one + ", " + two},
		{env: map[string]string{"name": "two", "stage": "rootfs", "build_parents": "99"}, want: base + ", " + one + ", " + two},
		{env: map[string]string{"name": "two", "stage": "rootfs", "build_parents": "-1", "build_parent": "0"}, want: base + ", " + one + ", " + two},
		{env: map[string]string{"name": "two", "stage": "rootfs", "build_parents": "0", "build_parent": "2"}, want: two},
		{env: map[string]string{"name": "two", "stage": "rootfs", "build_parent": "2"}, want: base + ", " + one + ", " + two},
		{env: map[string]string{"name": "three", "stage": "conffs", "build_parents": "1"}, want: "rootfs three, squashfs three, conffs three"},
		{env: map[string]string{"name": "three", "stage": "initramfs", "build_parents": "2"}, want: two + ", rootfs three, squashfs three, kernel three"},
		{env: map[string]string{"name": "three", "build_parents": "2"},
			want: one + ", kernel one, " + two + ", kernel two, conffs two, rootfs three, squashfs three, kernel three, conffs three"},
		{env: map[string]string{"name": "lone"}, want: "rootfs lone, squashfs lone, kernel lone"},
		{env: map[string]string{"name": "lone", "stage": "conffs"}, err: "no conffs"},
		{env: map[string]string{"name": "four"}, err: `declares no base or master "four"`},
		{env: map[string]string{"name": "one four"}, err: `declares no base or master "four"`},
		{env: map[string]string{"name": "one", "branch": "--upload-pack=x"}, err: "not the name of a git branch"},
	} {
		f := &buildFlags{}
		names, _, err := f.readCI(func(name string) string { return tt.env[name] })
		if err != nil {
			t.Errorf("%v: %v", tt.env, err)
			continue
		}
		a := &app{configFile: configFile(t, tree)}
		cfg, err := a.load()
		if err != nil {
			t.Fatal(err)
		}
		p, err := a.planned(cfg, f, names)
		if tt.err != "" || err != nil {
			if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v: error %v, want one about %q", tt.env, err, tt.err)
			}
			continue
		}
		var got []string
		for _, task := range p.Tasks {
			if task.Kind != plan.MakeRelease {
				got = append(got, task.String())
			}
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("%v: it plans %s, want %s", tt.env, got, tt.want)
		}
	}
}

// TestCIExitCodes runs the command with variables that cannot stand.
func TestCIExitCodes(t *testing.T) {
	for _, name := range []string{"name", "stage", "CI_JOB_STAGE", "build_parents", "build_parent", "branch", "conffs", "debug"} {
		t.Setenv(name, "")
	}
	config := configFile(t, good)
	for _, tt := range []struct {
		env  map[string]string
		code int
		out  string
		err  string
	}{
		{map[string]string{"name": "web", "debug": "true"}, 0, "stage --source-image base/iso --name web", ""},
		{map[string]string{"name": "web", "debug": "yes", "conffs": "web01"}, 0, "--limit web01", ""},
		{map[string]string{"name": "web", "debug": "1"}, 2, "", "`debug`"},
		{map[string]string{"name": "wbe", "debug": "yes"}, 2, "", "wbe"},
		{map[string]string{"name": "web", "debug": "yes", "stage": "root"}, 2, "", `stage "root"`},
		{map[string]string{"name": "web", "debug": "yes", "build_parents": "x"}, 2, "", "`build_parents`"},
		{map[string]string{"name": "web", "debug": "yes", "branch": "-x"}, 2, "", "git branch"},
	} {
		t.Run(tt.err, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			code, out, errs := vauban(t, "--config", config, "ci")
			if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.err) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
			}
		})
	}
}
