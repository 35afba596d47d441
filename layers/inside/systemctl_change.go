package inside

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// change starts or stops units, which is to remember it.
func (m manager) change() int {
	code := 0
	for _, word := range m.words.units {
		if strings.ContainsAny(word, "*?[") {
			return m.real()
		}
		unit := m.units.ownName(unitName(word))
		if !m.units.Exists(unit) {
			code = m.fail(5, "Failed to %s %s: Unit %s not found.", m.words.verb, unit, unit)
			continue
		}
		switch m.words.verb {
		case "start", "restart", "reload-or-restart":
			m.remember(started, unit)
		case "stop":
			m.remember(stopped, unit)
		}
	}
	if code != 0 {
		return code
	}
	return m.real()
}

// changeFiles does what the real one can, which cannot start or stop as well.
func (m manager) changeFiles() int {
	for _, unit := range m.named() {
		switch off := m.words.verb == "disable" || m.words.verb == "mask"; {
		case off && m.now:
			m.remember(stopped, unit)
		case off && m.units.Active(unit), !off && m.now:
			m.remember(started, unit)
		}
	}
	return m.realWith(slices.DeleteFunc(slices.Clone(m.args), func(word string) bool { return word == "--now" })...)
}

// remember notes that a unit was started, or stopped.
func (m manager) remember(what, unit string) {
	if m.ofUser {
		return
	}
	if err := m.call.remember(what, unit); err != nil {
		fmt.Fprintf(m.stderr, "vauban: noting that %s was %s: %v\n", unit, what, err)
	}
}

func (c *call) remember(what, unit string) error {
	return c.root.write(path.Join(remembered, path.Base(unit)), what+"\n")
}

// setProperty writes the files that systemd would write.
func (m manager) setProperty() int {
	if m.ofUser || m.holds("--runtime") {
		return m.real()
	}
	unit := unitName("")
	if len(m.words.units) > 0 {
		unit = unitName(m.words.units[0])
	}
	if unit = m.units.ownName(unit); !m.units.Exists(unit) {
		return m.fail(1, "Failed to set unit properties on %s: Unit %s not found.", unit, unit)
	}
	kind := suffixOf(unit)[1:]
	section := strings.ToUpper(kind[:1]) + kind[1:]
	for _, word := range m.words.units[1:] {
		name, _, _ := strings.Cut(word, "=")
		file := path.Join("/etc/systemd/system.control", unit+".d", "50-"+path.Base(name)+".conf")
		if err := m.root.write(file, fmt.Sprintf("[%s]\n%s\n", section, word)); err != nil {
			return m.fail(1, "vauban: setting a property of %s: %v", unit, err)
		}
	}
	return 0
}

// service leaves to systemctl what it does on a machine that runs systemd.
// Source: service(8).
func (c *call) service() int {
	if c.systemdRuns() || c.uid != 0 {
		return c.real()
	}
	c.readVerb()
	if c.holds("--full-restart") {
		c.operand = "restart"
	}
	switch c.operand {
	case "start", "stop", "restart", "try-restart", "reload", "status":
	case "force-reload":
		c.operand = "restart"
	case "force-stop":
		c.operand = "stop"
	default:
		return c.real()
	}
	c.name, c.args = "systemctl", []string{c.operand, strings.TrimSuffix(c.verb, ".sh")}
	return c.systemctl()
}
