package inside

import "fmt"

// mount lists where it has no operand, which the real one does.
func (c *call) mount() int {
	lists := len(c.args) == 0 ||
		len(c.args) == 1 && matches("-t?*", c.args[0]) ||
		len(c.args) == 2 && (c.args[0] == "-t" || c.args[0] == "--types")
	if lists || c.holds("-V", "-h", "-l") {
		return c.real()
	}
	return c.passed("a stage mounts nothing; what later tasks write there is in the image")
}

// swapon shows nothing: the builder's swap does not belong to a stage.
func (c *call) swapon() int {
	if len(c.args) == 0 || c.holds("-s", "--show", "--summary", "--noheadings") {
		return 0
	}
	return c.passed("a stage has no swap")
}

// changeRunlevel is init and telinit.
func (c *call) changeRunlevel() int {
	switch c.line() {
	case "q", "Q", "u", "U":
		return 0
	}
	return c.passed("a stage does not reboot")
}

func (c *call) hwclock() int {
	if matchesAny(c.line(), "", "*-r*", "*--show*", "*--get*") {
		return c.real()
	}
	return c.passed("a stage sets no clock")
}

// detectVirt has no answer: of what the machine will run on, as of a container,
// nothing is known.
func (c *call) detectVirt() int {
	if c.systemdRuns() || c.holds("--list", "--list-cvm", "-c", "--container", "-r", "--chroot", "--private-users") {
		return c.real()
	}
	if !c.holds("-q", "--quiet") {
		fmt.Fprintln(c.stdout, "none")
	}
	return 1
}

func (c *call) udevadm() int {
	c.readVerb()
	switch c.verb {
	case "control", "trigger", "settle", "wait", "lock":
		return c.passed("a stage has no devices of its own")
	}
	return c.real()
}

// updateInitramfs works where the tool was installed: it needs no machine.
func (c *call) updateInitramfs() int {
	if c.root.executable("/usr/sbin/update-initramfs") {
		return c.real()
	}
	return c.passed("the initramfs of a machine that boots from the network is made outside of its image")
}

// augenrules merges the rules, and loads none.
func (c *call) augenrules() int {
	if !c.holds("--load") {
		return c.real()
	}
	if code := c.runReal(); code != 0 {
		return code
	}
	return c.passed("a stage loads no rules")
}

func (c *call) hostname() int {
	c.readVerb()
	if c.verb == "" && !c.holds("-b", "-F", "--file", "--boot") {
		return c.real()
	}
	c.verb = ""
	return c.passed("a stage keeps its name")
}
