package inside

import (
	"fmt"
	"strings"
)

const unmanaged = "nothing manages a stage's network"

func (c *call) netplan() int {
	c.readVerb()
	if c.verb == "apply" || c.verb == "try" {
		return c.passed("it is applied at the next boot")
	}
	return c.real()
}

func (c *call) ifup() int {
	if c.holds("-h", "-V", "-n", "--no-act") {
		return c.real()
	}
	return c.passed(unmanaged)
}

func (c *call) wireGuard() int {
	c.readVerb()
	switch c.verb {
	case "set", "setconf", "addconf", "syncconf", "up", "down", "save":
		if !c.systemdRuns() {
			return c.passed(unmanaged)
		}
	}
	return c.real()
}

// resolver is networkctl and resolvectl.
func (c *call) resolver() int {
	c.readVerb()
	if matchesAny(c.verb, "", "list", "status", "query", "show*", "log-level", "statistics") {
		return c.real()
	}
	return c.passed(unmanaged)
}

// nmcli brings no connection up: profiles are files, and the machine's devices
// are not here. Its words may be short. Source: nmcli(1).
func (c *call) nmcli() int {
	object, skip := "", false
	c.verb = ""
	for _, word := range c.args {
		switch {
		case skip:
			skip = false
		case strings.HasPrefix(word, "-"):
			switch word {
			case "-f", "--fields", "-g", "--get-values", "-m", "--mode", "-c", "--colors", "-e", "--escape", "-w", "--wait":
				skip = true
			}
		case object == "":
			object = word
		case c.verb == "":
			c.verb = word
		}
	}
	switch does := object + "." + c.verb; {
	case matchesAny(does, "c*.u*", "c*.do*", "d*.u*", "d*.do*", "d*.di*", "d*.co*", "d*.r*", "d*.set", "d*.mod*", "n*.on", "n*.of*"):
		return c.passed(unmanaged)
	case matchesAny(does, "c*.r*", "c*.l*", "g*.r*") && !c.systemdRuns():
		return c.passed("it is applied at the next boot")
	}
	return c.real()
}

// firewall is what a call of firewall-cmd is about.
type firewall struct {
	permanent, asks, sets, running bool
	verb                           string
	rest                           []string // without --permanent
}

func readFirewall(args []string) firewall {
	var f firewall
	for _, word := range args {
		if word == "--permanent" {
			f.permanent = true
			continue
		}
		f.rest = append(f.rest, word)
		switch {
		case matchesAny(word, "--state", "--reload", "--complete-reload", "--runtime-to-permanent", "--panic-o*"):
			f.verb = word
		case matchesAny(word, "--query-panic", "--get-active-*"):
			f.running = true
		case matchesAny(word, "--query-*", "--list-*", "--get-*", "--info-*", "--path-*", "--check-config"):
			f.asks = true
		case matchesAny(word, "--set-default-zone=*", "--set-log-denied=*", "--set-automatic-helpers=*", "--lockdown-o*"):
			f.sets = true
		}
	}
	return f
}

// firewallCmd leaves what is permanent to firewalld's own tool for it. What a
// running firewall would be asked, the files say too.
func (c *call) firewallCmd() int {
	f := readFirewall(c.args)
	switch {
	case c.systemdRuns():
		return c.real()
	case f.running:
		return c.realWith(f.rest...)
	case f.verb == "--state":
		if SystemUnits(c.root).Active("firewalld.service") {
			fmt.Fprintln(c.stdout, "running")
			return 0
		}
		return c.fail(252, "not running")
	case f.verb != "":
		c.verb = f.verb
		fmt.Fprintln(c.stdout, "success")
		return c.passed("no firewall runs in a stage")
	case !f.permanent && !f.asks && !f.sets:
		fmt.Fprintln(c.stdout, "success")
		return c.passed("no firewall runs in a stage, and this is not permanent")
	}
	c.name = "firewall-offline-cmd"
	if !f.sets {
		return c.realWith(f.rest...)
	}
	// What is so already is an error for this tool alone.
	switch code := c.runReal(f.rest...); code {
	case 16, 34:
		return 0
	default:
		return code
	}
}
