package enter

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestSpecSurvivesItsEncoding(t *testing.T) {
	want := Spec{
		Init: 4711, Started: 99, Cgroups: []string{"/a/cgroup.procs", "/b c/cgroup.procs"}, UserNamespace: true,
		Capabilities: 1<<40 | 3, OpenFiles: 65536, Env: []string{"A=1=2\n", "B="},
		Filter: []unix.SockFilter{{Code: 0x8015, Jt: 1, Jf: 255, K: 0xc000003e}, {Code: 6, K: 0x7fff0000}},
	}
	got, err := Decode(want.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	whole := want.Encode()
	for _, damaged := range []string{"", "init=1\x00", string(whole[:len(whole)-1]), "init=5\x00", string(whole) + "filter=zz\x00", string(whole) + "new=1\x00"} {
		if _, err := Decode([]byte(damaged)); err == nil {
			t.Errorf("%q was read", damaged)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, want := range []Options{
		{},
		{Env: []string{"A=b c", "B=-g"}, Dir: "/srv", Group: true, NoNewPrivileges: true, User: &User{UID: 33, GID: 34, Groups: []uint32{1, 2}}},
		{User: &User{UID: 70000, GID: 70001, Groups: []uint32{}}},
	} {
		got, command, err := ParseOptions(append(want.Words(), "ls", "-l", "--"))
		if diff := cmp.Diff(want, got); err != nil || diff != "" || strings.Join(command, " ") != "ls -l --" {
			t.Errorf("%v, command %q: %s", err, command, diff)
		}
	}
	for _, words := range [][]string{{}, {"--"}, {"-g"}, {"-e"}, {"-e", "novalue", "ls"}, {"-u", "1", "ls"}, {"-u", "a,b", "ls"}, {"-x", "y", "ls"}} {
		if _, _, err := ParseOptions(words); err == nil {
			t.Errorf("%q was taken", words)
		}
	}
	if _, command, err := ParseOptions([]string{"ls", "-e", "x"}); err != nil || len(command) != 3 {
		t.Errorf("the options of the command are taken for ours: %q, %v", command, err)
	}
}

func TestEnvironmentAndCandidates(t *testing.T) {
	env := merge([]string{"PATH=/bin", "A=1"}, []string{"B=2", "PATH=/x::/y", "B=3"})
	if diff := cmp.Diff([]string{"PATH=/x::/y", "A=1", "B=3"}, env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/x/ls", "./ls", "/y/ls"}, candidates("ls", env)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"bin/ls"}, candidates("bin/ls", env)); diff != "" {
		t.Error(diff)
	}
}

func TestStartTime(t *testing.T) {
	mine, err := StartTime(os.Getpid())
	parents, parentErr := StartTime(1)
	if err != nil || parentErr != nil || mine == 0 || mine < parents {
		t.Errorf("this process started at %d (%v), process 1 at %d (%v)", mine, err, parents, parentErr)
	}
	if _, err := StartTime(1 << 30); err == nil {
		t.Error("a process that does not exist has a start time")
	}
}
