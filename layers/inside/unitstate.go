package inside

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A folder is what one of the folders of units holds.
type folder struct {
	names   map[string]bool // files, and links wherever they lead
	dropIns map[string]bool // units that have a folder NAME.d
	links   []link          // by which units have other names
	wants   []string        // links in its folders NAME.wants and NAME.requires
}

// link is a symbolic link to a unit: its name, and the name that it leads to.
type link struct{ name, leadsTo string }

// folder reads a folder once.
func (u *Units) folder(dir string) *folder {
	if f := u.folders[dir]; f != nil {
		return f
	}
	f := &folder{names: map[string]bool{}, dropIns: map[string]bool{}}
	u.folders[dir] = f
	for _, entry := range u.list(dir) {
		name := entry.Name()
		f.names[name] = true
		switch at := path.Join(dir, name); {
		case entry.Type()&fs.ModeSymlink != 0:
			if target, ok := u.readlink(at); ok {
				f.links = append(f.links, link{name, path.Base(target)})
			}
			// a folder of drop-ins may be a link
			f.dropIns[strings.TrimSuffix(name, ".d")] = strings.HasSuffix(name, ".d")
		case !entry.IsDir():
		case strings.HasSuffix(name, ".d"):
			f.dropIns[strings.TrimSuffix(name, ".d")] = true
		case slices.Contains([]string{".wants", ".requires"}, path.Ext(name)):
			f.wants = append(f.wants, u.linksIn(at)...)
		}
	}
	return f
}

// linksIn names the links of a folder, wherever they lead.
func (u *Units) linksIn(dir string) (names []string) {
	for _, entry := range u.list(dir) {
		if entry.Type()&fs.ModeSymlink != 0 {
			names = append(names, entry.Name())
		}
	}
	return names
}

// maxAliases is how many names after each other a unit may have.
const maxAliases = 64

// Enabled returns the state of a unit's file as `systemctl is-enabled` prints
// it, empty where there is none, and "bad" where links lead nowhere.
func (u *Units) Enabled(unit string) string {
	name := unit
	for range maxAliases {
		file, found := u.file(name)
		switch {
		case !found && name == unit:
			return ""
		case !found:
			return "bad"
		case u.isEmpty(file):
			return inRuntime("masked", file)
		case !u.exists(file):
			return "bad"
		}
		next, isAlias := u.leadsTo(name, file)
		if isAlias && next != name {
			name = next
			continue
		}
		if isAlias && !isInstance(name) {
			return "bad" // a link to a file of the same name that it hides
		}
		if path.Base(file) != unit && !isInstance(name) {
			return "alias"
		}
		return u.installed(name, file)
	}
	return "bad"
}

// leadsTo returns the unit that a unit's file is a link to, if it is one.
func (u *Units) leadsTo(unit, file string) (name string, isAlias bool) {
	target, isLink := u.readlink(file)
	if !isLink {
		return "", false
	}
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(file), target)
	}
	return instanceOf(path.Base(target), unit), u.isUnitDir(path.Dir(target))
}

// isEmpty says whether a unit is masked: it leads to /dev/null, or to nothing.
func (u *Units) isEmpty(file string) bool {
	if u.resolve(file) == "/dev/null" {
		return true
	}
	info, err := fs.Stat(u.root, inFS(file))
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}

func (u *Units) isUnitDir(dir string) bool {
	real := u.resolve(dir)
	return slices.ContainsFunc(u.dirs, func(d string) bool { return d == dir || u.resolve(d) == real })
}

// instanceOf makes of a template that an instance leads to the same instance.
func instanceOf(target, unit string) string {
	if target != template(target) || !isInstance(unit) {
		return target
	}
	name, _, _ := strings.Cut(target, "@")
	_, instance, _ := strings.Cut(unit, "@")
	return name + "@" + instance
}

func inRuntime(state, file string) string {
	if strings.HasPrefix(file, "/run/") {
		return state + "-runtime"
	}
	return state
}

// installed returns the state of a unit that has a file. Source:
// unit_file_lookup_state of systemd 252, by what it answers.
func (u *Units) installed(unit, file string) string {
	says := u.settings(unit)
	known := append(says.all("Alias"), unit)
	if instance := says.last("DefaultInstance"); instance != "" && unit == template(unit) {
		known = append(known, strings.Replace(unit, "@", "@"+instance, 1))
	}
	if state := u.linked(unit, file, known); state != "" {
		return state
	}
	if u.linked(unit, file, nil) != "" {
		return "indirect"
	}
	switch {
	case len(says.all("Alias"))+len(says.all("WantedBy"))+len(says.all("RequiredBy")) > 0:
		return "disabled"
	case len(says.all("Also")) > 0:
		return "indirect"
	}
	return "static"
}

// linked returns the state that links give a unit. Only those with one of the
// names count, where names are given.
func (u *Units) linked(unit, file string, names []string) string {
	var anywhere, inRun bool
	var same string
	below := false // in the folders behind that of the file its name means nothing
	for _, dir := range u.dirs {
		f := u.folder(dir)
		isKnown := func(name string) bool { return names == nil || slices.Contains(names, name) }
		isSame := func(l link) bool { return l.name == unit && l.leadsTo == unit && !below }
		found := slices.ContainsFunc(f.wants, func(name string) bool {
			return isKnown(name) && (name == unit && !below || isInstance(name) && template(name) == unit)
		}) || slices.ContainsFunc(f.links, func(l link) bool {
			return isKnown(l.name) && !isSame(l) && (l.name == unit && !below || l.leadsTo == unit)
		})
		switch runtime := strings.HasPrefix(dir, "/run/"); {
		case found && u.isConfiguration(dir):
			return "enabled"
		case found:
			inRun, anywhere = inRun || runtime, anywhere || !runtime
		case slices.ContainsFunc(f.links, isSame) && same == "" && (runtime || u.isConfiguration(dir)):
			same = inRuntime("linked", dir+"/")
		}
		below = below || strings.HasPrefix(file, dir+"/")
	}
	switch {
	case inRun:
		return "enabled-runtime"
	case anywhere && isInstance(unit):
		return "static"
	}
	return same
}

// isConfiguration says whether the administrator's links are in a folder.
func (u *Units) isConfiguration(dir string) bool {
	return strings.HasPrefix(dir, "/etc/") || u.user && dir == u.dirs[0]
}
