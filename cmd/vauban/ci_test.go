package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
		{name: "no name", env: map[string]string{}, err: "`name` is not set"},
		{name: "another stage", env: map[string]string{"name": "web", "stage": "build"}, err: "none of rootfs"},
		{name: "no number", env: map[string]string{"name": "web", "build_parents": "two"}, err: "no number of ancestors"},
		{name: "below -1", env: map[string]string{"name": "web", "build_parents": "-2"}, err: "no number of ancestors"},
		{name: "another debug", env: map[string]string{"name": "web", "debug": "maybe"}, err: "`debug`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, names, debug, err := readCI(func(name string) string { return tt.env[name] })
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, *got, cmp.AllowUnexported(buildFlags{})); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.names, names); diff != "" || debug != tt.debug {
				t.Errorf("names %v, debug %v: %s", names, debug, diff)
			}
		})
	}
}
