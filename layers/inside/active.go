package inside

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// remembered is the folder of what was started and stopped: a file for each
// unit, which says started or stopped.
const remembered = "/run/.vauban-units"

const (
	started = "started"
	stopped = "stopped"
)

// A unit as systemctl shows it.
type unitState struct {
	load, enabled string
	active        bool
	how           string // the second of its two states: running, dead
}

// Active is the first of its two states.
func (s unitState) Active() string {
	if s.active {
		return "active"
	}
	return "inactive"
}

// Load says whether a unit could be loaded: loaded, masked or not-found. Some
// have no file.
func (u *Units) Load(unit string) string {
	if file, found := u.file(unit); found {
		if u.resolve(file) == "/dev/null" {
			return "masked"
		}
		return "loaded"
	}
	exists := false
	switch suffixOf(unit) {
	case ".mount", ".automount":
		exists = u.mounted(unit)
	case ".device", ".scope", ".slice", ".swap":
		exists = true
	default:
		_, exists = u.script(unit)
	}
	if exists {
		return "loaded"
	}
	return "not-found"
}

// Exists says whether there is such a unit.
func (u *Units) Exists(unit string) bool { return u.Load(unit) != "not-found" }

// script returns the path of a service's init script.
func (u *Units) script(unit string) (string, bool) {
	file := path.Join("/etc/init.d", strings.TrimSuffix(unit, ".service"))
	return file, !u.user && !strings.Contains(unit, "/") && path.Dir(file) == "/etc/init.d" && u.isExecutable(file)
}

func (u *Units) isExecutable(file string) bool {
	info, err := fs.Stat(u.root, inFS(file))
	return err == nil && info.Mode().Perm()&0o111 != 0
}

// Active says whether a unit would run by now: it was started, or would be at
// boot and was not stopped.
func (u *Units) Active(unit string) bool { return u.Exists(unit) && u.wouldRun(unit, u.Enabled(unit)) }

// wouldRun says so of a unit that exists.
func (u *Units) wouldRun(unit, enabled string) bool {
	switch u.remembers(unit) {
	case started:
		return true
	case stopped:
		return false
	}
	switch {
	case strings.HasPrefix(enabled, "enabled"), enabled == "alias":
		return true
	case suffixOf(unit) != ".service":
		return enabled == "static" || enabled == "indirect"
	case enabled == "static", enabled == "indirect":
		return u.wanted(unit)
	case enabled == "", enabled == generated:
		return u.wanted(unit) || u.scriptStarts(unit)
	}
	return false
}

// remembers returns what was done to a unit.
func (u *Units) remembers(unit string) string {
	if u.user || strings.Contains(unit, "/") || !slices.ContainsFunc(u.list(remembered), func(e fs.DirEntry) bool { return e.Name() == unit }) {
		return ""
	}
	return strings.TrimSpace(string(u.read(path.Join(remembered, unit))))
}

// wanted says whether another unit has a unit start.
func (u *Units) wanted(unit string) bool {
	return slices.ContainsFunc(u.dirs, func(dir string) bool {
		return slices.Contains(u.folder(dir).wants, unit)
	})
}

// scriptStarts says whether the init script of a service is started at boot.
func (u *Units) scriptStarts(unit string) bool {
	script := strings.TrimSuffix(unit, ".service")
	for _, level := range []string{"2", "3", "4", "5"} {
		for _, entry := range u.list("/etc/rc" + level + ".d") {
			if order, found := strings.CutPrefix(entry.Name(), "S"); found && strings.TrimLeft(order, "0123456789") == script {
				return true
			}
		}
	}
	return false
}

// State is what systemctl would say of a unit.
func (u *Units) State(unit string) unitState {
	s := unitState{load: u.Load(unit), enabled: u.Enabled(unit)}
	s.active = s.load != "not-found" && u.wouldRun(unit, s.enabled)
	s.how = u.how(unit, s.active)
	if s.enabled == "bad" {
		s.enabled = ""
	}
	return s
}

// how is the second of the two states of a unit.
func (u *Units) how(unit string, active bool) string {
	if !active {
		return "dead"
	}
	switch suffixOf(unit) {
	case ".service":
		if u.settings(unit).last("Type") == "oneshot" {
			return "exited"
		}
		return "running"
	case ".socket":
		return "listening"
	case ".timer", ".path":
		return "waiting"
	case ".mount":
		return "mounted"
	case ".device":
		return "plugged"
	}
	return "active"
}

// generated is the state of units that are made from init scripts.
const generated = "generated"

// A service as [Units.Services] lists it.
type service struct {
	name, description string
	unitState
}

// Services are those that systemd would know on the machine.
func (u *Units) Services() []service {
	var found []service
	listed := map[string]bool{}
	add := func(name, enabled string) {
		if listed[name] {
			return
		}
		listed[name] = true
		s := service{name: name, description: u.settings(name).last("Description")}
		if s.description == "" {
			s.description = name
		}
		s.enabled = enabled
		s.active = u.wouldRun(name, enabled)
		s.how = u.how(name, s.active)
		found = append(found, s)
	}
	for _, name := range u.serviceFiles() {
		add(name, u.Enabled(name))
	}
	for _, entry := range u.list("/etc/init.d") {
		if _, isOne := u.script(entry.Name()); isOne {
			add(entry.Name()+".service", generated)
		}
	}
	for _, entry := range u.list(remembered) {
		if strings.Contains(entry.Name(), "@") && strings.HasSuffix(entry.Name(), ".service") {
			add(entry.Name(), "enabled")
		}
	}
	return found
}

// serviceFiles names the services that have a file, sorted.
func (u *Units) serviceFiles() []string {
	var names []string
	for _, dir := range u.dirs {
		for _, entry := range u.list(dir) {
			isFile := entry.Type().IsRegular() || entry.Type()&fs.ModeSymlink != 0
			if isFile && strings.HasSuffix(entry.Name(), ".service") && isUnitName(entry.Name()) {
				names = append(names, entry.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// maxName is how long a unit's name may be.
const maxName = 255

// isUnitName says whether a unit may have a name. Source: systemd.unit(5).
func isUnitName(name string) bool {
	const others = ":-_.\\@"
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(others, r)) {
			return false
		}
	}
	return len(name) <= maxName && !strings.HasPrefix(name, "@") && !strings.HasPrefix(name, ".")
}
