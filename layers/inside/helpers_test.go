package inside

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// container is a root in a folder, with commands that are scripts.
type container struct {
	*testing.T
	dir  string
	root *Root
}

func newContainer(t *testing.T) container {
	t.Helper()
	c := container{T: t, dir: t.TempDir()}
	for _, dir := range []string{"etc/systemd/system", "usr/lib/systemd/system", "usr/bin", "usr/sbin", "run/vauban", "proc", "var/lib", "boot"} {
		c.mkdir(dir)
	}
	c.link("usr/lib", "lib")
	c.file("run/vauban/passed", "")
	c.command("usr/bin/sh", `exec /bin/sh "$@"`)
	var err error
	if c.root, err = OpenRoot(c.dir); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c container) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c container) mkdir(name string) {
	c.Helper()
	c.must(os.MkdirAll(filepath.Join(c.dir, name), 0o755))
}

func (c container) file(name, content string) {
	c.Helper()
	c.mkdir(filepath.Dir(name))
	c.must(os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o644))
}

func (c container) link(target, name string) {
	c.Helper()
	c.mkdir(filepath.Dir(name))
	c.must(os.Symlink(target, filepath.Join(c.dir, name)))
}

// command makes a script; one without a body prints its words.
func (c container) command(name, body string) {
	c.Helper()
	if body == "" {
		body = `echo "${0##*/}:" "$@"`
	}
	c.file(name, "#!/bin/sh\n"+body+"\n")
	c.must(os.Chmod(filepath.Join(c.dir, name), 0o755))
}

func (c container) unit(name, content string) { c.file("usr/lib/systemd/system/"+name, content) }

// want links a unit into a target's folder.
func (c container) want(unit, target string) {
	template := unit
	if name, _, isInstance := strings.Cut(unit, "@"); isInstance {
		template = name + "@.service"
	}
	c.link("/lib/systemd/system/"+template, "etc/systemd/system/"+target+".wants/"+unit)
}

// result is what a call did. The root's folder is left out of what it printed.
type result struct {
	out, errors, note string
	code              int
}

func (c container) call(args ...string) result { return c.callAs(0, nil, args...) }

func (c container) callAs(uid int, environ []string, args ...string) result {
	c.Helper()
	c.file("run/vauban/passed", "")
	var out, errs bytes.Buffer
	call := &call{
		root: c.root, name: args[0], args: args[1:], environ: append([]string{"PATH=/usr/bin:/bin"}, environ...), uid: uid,
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, become: child,
	}
	code := call.standIn()
	note, err := os.ReadFile(filepath.Join(c.dir, "run/vauban/passed"))
	c.must(err)
	clean := func(s string) string { return strings.TrimSuffix(strings.ReplaceAll(s, c.dir, ""), "\n") }
	return result{clean(out.String()), clean(errs.String()), strings.TrimSuffix(string(note), "\n"), code}
}

// child is [call.become] of tests.
func child(c *call, file string, argv, environ []string) int {
	cmd := exec.Command(file, argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, c.stdin, c.stdout, c.stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		return 126
	}
	return 0
}

func (c container) read(name string) string {
	c.Helper()
	content, err := os.ReadFile(filepath.Join(c.dir, name))
	c.must(err)
	return string(content)
}
