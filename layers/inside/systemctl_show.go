package inside

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// reloads begins the names of settings that say how a service reads its files.
const reloads = "ExecReload"

// description is what systemctl shows of a unit.
type description struct {
	unitState
	file, description string
	says              settings
}

func (u *Units) describe(unit string) description {
	d := description{unitState: u.State(unit), says: u.settings(unit)}
	d.description = d.says.last("Description")
	file, found := u.file(unit)
	if d.file = file; !found {
		if _, isScript := u.script(unit); isScript {
			d.file, d.enabled = path.Join("/run/systemd/generator.late", unit), generated
			d.description = "LSB: " + strings.TrimSuffix(unit, ".service")
		}
	}
	if d.description == "" {
		d.description = unit
	}
	return d
}

func (m manager) show() int {
	var out strings.Builder
	for i, word := range m.words.units {
		if i > 0 {
			out.WriteString("\n")
		}
		unit := unitName(word)
		for _, p := range m.properties(m.units.ownName(unit), unit) {
			name, value, _ := strings.Cut(p, "=")
			switch {
			case m.asked == nil && value == "", m.asked != nil && !slices.Contains(m.asked, name):
			case m.bare:
				fmt.Fprintln(&out, value)
			default:
				fmt.Fprintln(&out, p)
			}
		}
	}
	fmt.Fprint(m.stdout, out.String())
	return 0
}

// properties returns those that are in a unit's files, NAME=value. MainPID is not
// among them: scripts send signals to what it names.
func (m manager) properties(unit, askedAs string) []string {
	d := m.units.describe(unit)
	names := unit
	if askedAs != unit {
		names += " " + askedAs
	}
	reload := "no"
	if slices.ContainsFunc(d.says, func(o *option) bool { return strings.HasPrefix(o.Name, reloads) }) {
		reload = "yes"
	}
	environment := strings.ReplaceAll(strings.Join(d.says.values("Environment"), " "), `"`, "")
	return []string{
		"Type=" + d.says.last("Type"), "User=" + d.says.last("User"), "Group=" + d.says.last("Group"),
		"WorkingDirectory=" + d.says.last("WorkingDirectory"), "PIDFile=" + d.says.last("PIDFile"), "Environment=" + environment,
		"Result=success", "ExecMainStatus=0", "Id=" + unit, "Names=" + names, "Description=" + d.description, "LoadState=" + d.load,
		"ActiveState=" + d.Active(), "SubState=" + d.how, "FragmentPath=" + d.file,
		"DropInPaths=" + strings.Join(m.units.dropIns(unit), " "),
		"UnitFileState=" + d.enabled, "CanReload=" + reload, "NeedDaemonReload=no",
	}
}
