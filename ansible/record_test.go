package ansible

import (
	"strings"
	"testing"

	"vauban/ansible/repository"
)

const stream = `{"event": "start", "version": "2.14.18"}
{"event": "play", "name": "web", "pattern": "web", "hosts": ["web1", "web2", "stranger"]}
{"event": "task", "task": "one", "uuid": "1"}
{"event": "item", "host": "web1", "status": "failed", "task": "one", "message": "it broke"}
{"event": "result", "host": "web1", "status": "failed", "task": "one", "path": "/w/repository/play.yml:3", "message": "One or more items failed"}
{"event": "result", "host": "web2", "status": "ignored", "task": "one", "path": "/w/repository/play.yml:3", "message": "so what"}
{"event": "stats", "stats": {"web1": {"ok": 1, "failures": 1}, "web2": {"ok": 2, "ignored": 1}, "stranger": {}}}
`

func newTestRecord(t *testing.T) *record {
	t.Helper()
	p := &Playbook{options: PlaybookOptions{Path: "play.yml", Master: "m"}}
	c := &repository.Copy{Dir: "/w", Tree: "/w/repository", Root: "/w/repository"}
	r, err := p.newRecord(c, []target{{name: "web1"}, {name: "web2"}, {name: "db1"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecord(t *testing.T) {
	r := newTestRecord(t)
	r.read(strings.NewReader(stream))
	if !r.finished {
		t.Error("the run has not finished")
	}
	failed := r.failed()
	if got, want := failed["web1"].Error(), `task "one" (play.yml:3) failed: it broke`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if failed["web2"] != nil {
		t.Errorf("an ignored failure counts: %v", failed["web2"])
	}
	if err := failed["db1"]; err == nil || !strings.Contains(err.Error(), `no play of "play.yml" is for "db1"`) {
		t.Errorf("got %v for the host that no play was for", err)
	}
}

// A role that is included by its path is named by it: where it lies in a run's
// own copy must be in no message, and in no image's label.
func TestRoleNamedByItsPath(t *testing.T) {
	r := newTestRecord(t)
	r.read(strings.NewReader(`{"event": "start", "version": "2.14.18"}
{"event": "play", "pattern": "web", "hosts": ["web1"]}
{"event": "passed", "host": "web1", "task": "/w/repository/roles/a/roles/b : one", "path": "/w/repository/roles/a/roles/b/tasks/main.yml:2", "what": "reboot: so"}
{"event": "async", "host": "web1", "task": "/w/repository/roles/a/roles/b : two", "path": "/w/repository/play.yml:2"}
{"event": "result", "host": "web1", "status": "failed", "task": "/w/repository/roles/a/roles/b : three", "path": "/w/repository/play.yml:3", "message": "it broke"}
{"event": "stats", "stats": {"web1": {"failures": 1}}}
`))
	if got, want := r.passed.all[0].String(), `"roles/a/roles/b : one" (roles/a/roles/b/tasks/main.yml:2): reboot: so`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := r.jobs[0].Task, "roles/a/roles/b : two"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := r.failed()["web1"].Error(), `task "roles/a/roles/b : three" (play.yml:3) failed: it broke`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHint(t *testing.T) {
	for message, want := range map[string]string{
		"MODULE FAILURE\n/bin/sh: 1: /usr/bin/python3: not found": "no python3",
		"'dict object' has no attribute 'hostname'":               "hostvars of web2",
		"non-zero return code":                                    "",
	} {
		if got := hint(message, []string{"web2"}); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
	if got := hint("x is undefined", nil); got != "" {
		t.Errorf("got %q where no neighbour was read", got)
	}
}

func TestServiceHint(t *testing.T) {
	for _, test := range []struct {
		e    event
		want bool
	}{
		{event{Action: "command", Message: "ERROR 2002 (HY000): Can't connect to local server through socket '/run/mysqld/mysqld.sock' (2)"}, true},
		{event{Action: "uri", Message: "Status code was -1: Request failed: <urlopen error [Errno 111] Connection refused>"}, true},
		{event{Action: "community.postgresql.postgresql_user", Message: "the output has been hidden"}, true},
		{event{Action: "shell", Message: `psql: error: connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: No such file`}, true},
		{event{Action: "shell", Message: "non-zero return code\nit broke"}, false},
		{event{Action: "apt", Message: "No package matching 'mysql_client' is available"}, false},
	} {
		if got := serviceHint(&test.e, true); (got != "") != test.want {
			t.Errorf("%+v: got %q", test.e, got)
		}
		if got := serviceHint(&test.e, false); got != "" {
			t.Errorf("%+v under systemd: got %q", test.e, got)
		}
	}
}

// A stream that breaks off must not look like a run that went well.
func TestBrokenRecord(t *testing.T) {
	for _, broken := range []string{stream[:len(stream)-40], "", "not json\n" + stream} {
		r := newTestRecord(t)
		r.read(strings.NewReader(broken))
		if r.finished {
			t.Errorf("%q counts as finished", broken)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(stream)
	f.Fuzz(func(t *testing.T, text string) {
		r := newTestRecord(t)
		r.read(strings.NewReader(text))
		for _, err := range r.failed() {
			if err.Error() == "" {
				t.Error("an error without words")
			}
		}
	})
}
