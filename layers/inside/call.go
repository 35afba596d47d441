package inside

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A call is one start of the program.
type call struct {
	root    *Root
	name    string // the command that is stood in for
	args    []string
	environ []string
	uid     int

	stdin          io.Reader
	stdout, stderr io.Writer

	// become is execve(2): it returns only where that fails.
	become func(c *call, file string, argv, environ []string) int

	// verb is what the command is told to do, for the note, and operand the
	// word after it.
	verb, operand string
	// version is that of the kernel that the machine boots.
	version string
}

func (c *call) getenv(name string) string {
	for _, word := range c.environ {
		if value, found := strings.CutPrefix(word, name+"="); found {
			return value
		}
	}
	return ""
}

// commandDirs are where commands are, whatever the caller's PATH: a stand-in's
// own folder is not among them.
var commandDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// find returns the path of a real command, empty where there is none.
func (c *call) find(name string) string {
	for _, dir := range commandDirs {
		if file := path.Join(dir, name); c.root.executable(file) {
			return c.root.Join(file)
		}
	}
	return ""
}

// real becomes the command that is stood in for, with the call's own words.
func (c *call) real() int { return c.realWith(c.args...) }

// realWith becomes the command with other words.
func (c *call) realWith(args ...string) int { return c.exec(c.name, args...) }

// exec becomes a command of the image.
func (c *call) exec(name string, args ...string) int {
	file := c.find(name)
	if file == "" {
		return c.missing(name)
	}
	return c.become(c, file, append([]string{file}, args...), c.environ)
}

func (c *call) missing(name string) int {
	fmt.Fprintf(c.stderr, "%s: command not found\n", name)
	return 127
}

// execute is [call.become] of the program.
func execute(c *call, file string, argv, environ []string) int {
	err := syscall.Exec(file, argv, environ)
	if errors.Is(err, unix.ENOEXEC) { // a script without its first line, as a shell would run it
		err = syscall.Exec("/bin/sh", append([]string{"sh"}, argv...), environ)
	}
	fmt.Fprintf(c.stderr, "%s: %v\n", file, err)
	return 126
}

// output is where a child's goes; nil is /dev/null.
type output struct{ stdout, stderr io.Writer }

// start runs a command of the image and returns its exit code.
func (c *call) start(out output, name string, args ...string) int {
	file := c.find(name)
	if file == "" {
		if out.stderr != nil {
			fmt.Fprintf(out.stderr, "%s: command not found\n", name)
		}
		return 127
	}
	run := func(argv ...string) error {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.environ, c.stdin, out.stdout, out.stderr
		return cmd.Run()
	}
	err := run(append([]string{file}, args...)...)
	if errors.Is(err, unix.ENOEXEC) {
		err = run(append([]string{"/bin/sh", file}, args...)...)
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	} else if err != nil {
		if out.stderr != nil {
			fmt.Fprintf(out.stderr, "%s: %v\n", file, err)
		}
		return 126
	}
	return 0
}

// runReal runs the command that is stood in for, and returns.
func (c *call) runReal(args ...string) int {
	return c.start(output{c.stdout, c.stderr}, c.name, args...)
}

// maxSaid bounds what is kept of a child's output, in bytes.
const maxSaid = 4 << 20

// said returns what a command prints, without the last newlines.
func (c *call) said(name string, args ...string) (string, int) {
	var said limited
	code := c.start(output{&said, c.stderr}, name, args...)
	return strings.TrimRight(said.String(), "\n"), code
}

// limited keeps the beginning of what is written to it.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	_, _ = l.Builder.Write(p[:min(len(p), max(0, maxSaid-l.Len()))])
	return len(p), nil
}

// note writes down what was left out. It holds nothing of the arguments: they
// may be secret.
func (c *call) note(what string) {
	label := c.name
	if c.verb != "" {
		label += " " + c.verb
	}
	line := fmt.Sprintf("%s\t%s: %s\n", c.getenv("VAUBAN_TASK"), label, what)
	if err := c.root.append(passedPath, line); err != nil {
		fmt.Fprintln(c.stderr, "vauban: noting what was left out:", err)
	}
}

// passed ends well, with a note.
func (c *call) passed(what string) int {
	c.note(what)
	return 0
}

// holds says whether one of the words is among the options and operands.
func (c *call) holds(words ...string) bool {
	for _, arg := range c.args {
		if arg == "--" {
			return false
		}
		if slices.Contains(words, arg) {
			return true
		}
	}
	return false
}

// line is the words with a blank between each two.
func (c *call) line() string { return strings.Join(c.args, " ") }

// readVerb sets verb to the first word that is not an option, operand to the
// next.
func (c *call) readVerb() {
	c.verb, c.operand = "", ""
	for _, word := range c.args {
		switch {
		case strings.HasPrefix(word, "-"):
		case c.verb == "":
			c.verb = word
		case c.operand == "":
			c.operand = word
		}
	}
}

// systemdRuns says whether systemd is process 1.
func (c *call) systemdRuns() bool { return c.root.isDir("/run/systemd/system") }

// fail prints an error and returns its exit code.
func (c *call) fail(code int, format string, args ...any) int {
	fmt.Fprintf(c.stderr, format+"\n", args...)
	return code
}
