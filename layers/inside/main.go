package inside

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// notStarted is the exit code when the program could not do its work for a
// reason of its own.
const notStarted = 125

// Main is the program: args are os.Args. It returns the exit code.
func Main(args []string) int {
	if len(args) == 0 {
		return notStarted
	}
	root, err := OpenRoot("/")
	if err != nil {
		fmt.Fprintln(os.Stderr, "vauban:", err)
		return notStarted
	}
	c := &call{
		root: root, name: path.Base(args[0]), args: args[1:], environ: os.Environ(), uid: os.Geteuid(),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, become: execute,
	}
	return c.run(path.Dir(args[0]) == Dir)
}

// run does what the name stands for: within [Dir] a tool, else a stand-in.
func (c *call) run(ours bool) int {
	if tool := tools[c.name]; ours && tool != nil {
		return tool(c)
	}
	return c.standIn()
}

// standIn decides between the stand-in and the real command.
func (c *call) standIn() int {
	packaged := c.getenv("DPKG_MAINTSCRIPT_PACKAGE") != ""
	// A package's script knows chroots, and what to leave out there; that of a
	// kernel calls GRUB wherever there is a menu.
	if packaged && strings.Contains(c.name, "grub") {
		return c.grub()
	}
	s := newTable()[c.name]
	if s.kernel != nil && !packaged {
		// Of the kernel, that of the machine to be is meant, for every user.
		if c.version = c.kernelVersion(); c.version != "" {
			if code, done := s.kernel(c); done {
				return code
			}
		}
	}
	// Help and version are the real command's.
	if s.do == nil || packaged || c.holds("--help", "--version") {
		return c.real()
	}
	if !s.anyUser && c.uid != 0 || s.offline && c.systemdRuns() {
		return c.real()
	}
	return s.do(c)
}
