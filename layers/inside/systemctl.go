package inside

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// manager is systemctl where no systemd runs that it could ask: what it says
// of units, and does to them. The real one has no answer to most questions
// then, and says yes to whatever else it is asked. Source: systemctl(1).
type manager struct {
	*call
	words
	units *Units
}

// stops are the verbs that end the machine.
var stops = []string{"reboot", "poweroff", "halt", "kexec", "soft-reboot", "suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"}

func (c *call) systemctl() int {
	w := readWords(c.args)
	if c.systemdRuns() && !slices.Contains(stops, w.verb) {
		return c.real()
	}
	if w.user != "" {
		if !w.ofUser || c.uid != 0 {
			return c.real()
		}
		return c.systemctlOf(w.user)
	}
	c.verb = w.verb
	m := manager{call: c, words: w, units: SystemUnits(c.root)}
	if w.ofUser {
		m.units = UserUnits(c.root, c.getenv("HOME"))
	}
	if code, done := m.asks(); done {
		return code
	}
	if !w.ofUser && c.uid != 0 {
		return c.real()
	}
	return m.does()
}

// systemctlOf has the user whose units are meant ask for them.
func (c *call) systemctlOf(machine string) int {
	who, _, _ := strings.Cut(machine, "@")
	found, _ := c.user(who)
	args := []string{"-u", who, "--", "env", "HOME=" + found.home, path.Join(Bin, c.name)}
	for i := 0; i < len(c.args); i++ {
		switch word := c.args[i]; {
		case strings.HasPrefix(word, "--machine="):
		case word == "-M" || word == "--machine":
			i++
		default:
			args = append(args, word)
		}
	}
	return c.exec("runuser", args...)
}

// asks answers what changes nothing, for every user.
func (m manager) asks() (code int, done bool) {
	switch m.words.verb {
	case "is-active", "is-failed":
		return m.isActive(), true
	case "show":
		if len(m.words.units) > 0 {
			return m.show(), true
		}
	case "status":
		if len(m.words.units) > 0 {
			return m.status(), true
		}
	case "cat":
		return m.cat(), true
	case "list-units", "":
		if !m.ofUser && !m.holds("-h") {
			return m.list(), true
		}
	case "edit":
		return m.fail(1, "Cannot edit units if not on a tty."), true
	}
	return 0, false
}

// does what root, or a user for himself, may.
func (m manager) does() int {
	switch m.words.verb {
	case "start", "stop", "restart", "try-restart", "condrestart", "reload", "reload-or-restart", "try-reload-or-restart", "force-reload", "kill":
		return m.change()
	case "enable", "disable", "reenable", "mask", "preset":
		return m.changeFiles()
	case "set-property":
		return m.setProperty()
	case "list-unit-files":
		// ansible asks for a bare name, and takes one that is not listed for a
		// unit that does not exist.
		if names := m.words.units; len(names) == 1 {
			return m.realWith(append(slices.Clone(m.args), unitName(names[0]))...)
		}
	case "is-system-running":
		fmt.Fprintln(m.stdout, "running")
		return m.passed("no stage runs services")
	}
	if slices.Contains(stops, m.words.verb) {
		return m.passed("a stage does not reboot")
	}
	return m.real()
}

// named are the units that were named, by their own names.
func (m manager) named() []string {
	var names []string
	for _, word := range m.words.units {
		names = append(names, m.units.ownName(unitName(word)))
	}
	return names
}

func (m manager) isActive() int {
	code := 3
	for _, unit := range m.named() {
		state := "inactive"
		if m.units.Active(unit) {
			state, code = "active", 0
		}
		if !m.quiet {
			fmt.Fprintln(m.stdout, state)
		}
	}
	if m.words.verb == "is-failed" {
		return 1 // no unit has failed
	}
	return code
}

func (m manager) status() int {
	code := 0
	for _, unit := range m.named() {
		d := m.units.describe(unit)
		if d.load == "not-found" {
			code = m.fail(4, "Unit %s could not be found.", unit)
			continue
		}
		dot := "●"
		if !d.active {
			dot = "○"
			if code == 0 {
				code = 3
			}
		}
		if !m.quiet {
			fmt.Fprintf(m.stdout, "%s %s - %s\n     Loaded: %s (%s; %s)\n     Active: %s (%s)\n",
				dot, unit, d.description, d.load, d.file, d.enabled, d.Active(), d.how)
		}
	}
	return code
}

func (m manager) cat() int {
	code := 0
	for _, unit := range m.named() {
		file, found := m.units.file(unit)
		if !found {
			code = m.fail(1, "No files found for %s.", unit)
			continue
		}
		for _, part := range append([]string{file}, m.units.dropIns(unit)...) {
			fmt.Fprintf(m.stdout, "# %s\n%s\n", part, m.units.read(part))
		}
	}
	return code
}

func (m manager) list() int {
	if m.types != "" && !strings.Contains(m.types, "service") {
		return 0
	}
	var out strings.Builder
	if !m.noLegend {
		out.WriteString("  UNIT LOAD ACTIVE SUB DESCRIPTION\n")
	}
	for _, s := range m.units.Services() {
		if !m.lists(s) {
			continue
		}
		if !m.plain {
			out.WriteString("  ")
		}
		fmt.Fprintln(&out, s.name, "loaded", s.Active(), s.how, s.description)
	}
	fmt.Fprint(m.stdout, out.String())
	return 0
}

// lists says whether list-units is to show a service.
func (m manager) lists(s service) bool {
	if s.enabled == "alias" || s.enabled == "masked" || strings.HasSuffix(s.name, "@.service") {
		return false
	}
	if !s.active && !m.all && m.states == "" {
		return false
	}
	if m.states != "" {
		states := strings.Split(m.states, ",")
		if !slices.ContainsFunc(states, func(state string) bool { return state == s.Active() || state == s.how || state == "loaded" }) {
			return false
		}
	}
	return len(m.words.units) == 0 || slices.ContainsFunc(m.words.units, func(word string) bool {
		return matchesAny(s.name, word, word+".service")
	})
}
