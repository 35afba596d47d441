package inside

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Units are the units of one manager, as its folders hold them. Nothing is
// started to ask: offline, systemctl itself has no answer to most questions.
// Sources: systemctl(1), systemd.unit(5).
type Units struct {
	root fs.FS
	dirs []string // the one that comes first, first
	user bool

	folders map[string]*folder       // by path, as they were read
	listed  map[string][]fs.DirEntry // by path
	says    map[string]settings      // by unit
}

// systemDirs are where units of the system are.
var systemDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"}

// userDirs are where units of a user's own manager are.
func userDirs(home string) []string {
	return []string{
		path.Join(home, ".config/systemd/user"), "/etc/systemd/user", "/run/systemd/user",
		path.Join(home, ".local/share/systemd/user"), "/usr/local/lib/systemd/user", "/usr/lib/systemd/user",
	}
}

// SystemUnits are those of process 1.
func SystemUnits(root fs.FS) *Units {
	return &Units{
		root: root, dirs: systemDirs,
		folders: map[string]*folder{}, listed: map[string][]fs.DirEntry{}, says: map[string]settings{},
	}
}

// UserUnits are those of a user with this home.
func UserUnits(root fs.FS, home string) *Units {
	u := SystemUnits(root)
	u.dirs, u.user = userDirs(home), true
	return u
}

// inFS is an absolute path as an [fs.FS] names it.
func inFS(name string) string {
	if name = strings.TrimPrefix(path.Clean(name), "/"); name == "" {
		return "."
	}
	return name
}

func (u *Units) readlink(name string) (string, bool) {
	target, err := fs.ReadLink(u.root, inFS(name))
	return target, err == nil
}

// read returns what a file holds, nothing where it cannot be read.
func (u *Units) read(name string) []byte {
	content, err := fs.ReadFile(u.root, inFS(name))
	if err != nil {
		return nil
	}
	return content
}

// list returns what is in a directory. It is read once.
func (u *Units) list(dir string) []fs.DirEntry {
	entries, known := u.listed[dir]
	if !known {
		entries, _ = fs.ReadDir(u.root, inFS(dir))
		u.listed[dir] = entries
	}
	return entries
}

// maxLinks is how many links a path may have. Source: path_resolution(7).
const maxLinks = 40

// resolve returns where a path leads when each link is followed, empty where
// they have no end. What does not exist leads to itself.
func (u *Units) resolve(name string) string {
	done, left := "/", strings.Split(path.Clean("/" + name)[1:], "/")
	for links := 0; len(left) > 0; {
		next := path.Join(done, left[0])
		left = left[1:]
		target, isLink := u.readlink(next)
		if !isLink {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return ""
		}
		if path.IsAbs(target) {
			done = "/"
		}
		parts := slices.DeleteFunc(strings.Split(target, "/"), func(part string) bool { return part == "" || part == "." })
		left = append(parts, left...)
	}
	return done
}

// suffixes are those of units' names.
var suffixes = []string{".service", ".socket", ".target", ".timer", ".mount", ".path", ".slice", ".scope", ".device", ".swap", ".automount"}

// unitName returns a unit's whole name.
func unitName(word string) string {
	word = word[strings.LastIndexByte(word, '/')+1:]
	if slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(word, suffix) }) {
		return word
	}
	return word + ".service"
}

// template returns the name of the template of an instance: a@.service for
// a@b.service. Of another unit's name it is one that no unit has.
func template(unit string) string {
	name, _, _ := strings.Cut(unit, "@")
	return name + "@" + suffixOf(unit)
}

// suffixOf returns what kind a unit is of, with the dot.
func suffixOf(unit string) string { return "." + unit[strings.LastIndexByte(unit, '.')+1:] }

// isInstance says whether a unit is a@b.service.
func isInstance(unit string) bool {
	name, instance, found := strings.Cut(strings.TrimSuffix(unit, suffixOf(unit)), "@")
	return found && name != "" && instance != ""
}

// file returns the path of a unit's file, or of its template.
func (u *Units) file(unit string) (string, bool) {
	for _, name := range []string{unit, template(unit)} {
		for _, dir := range u.dirs {
			if u.folder(dir).names[name] {
				return path.Join(dir, name), true
			}
		}
	}
	return "", false
}

// ownName returns what a unit is called itself, where this may be an alias.
func (u *Units) ownName(unit string) string {
	file, found := u.file(unit)
	if !found {
		return unit
	}
	if _, isLink := u.readlink(file); !isLink {
		return unit
	}
	target := u.resolve(file)
	base, suffix := path.Base(target), suffixOf(unit)
	switch {
	case !strings.Contains(path.Dir(target), "/systemd/") || !strings.HasSuffix(base, suffix):
		return unit
	case strings.HasSuffix(base, "@"+suffix):
		name, _, _ := strings.Cut(base, "@")
		_, instance, isOne := strings.Cut(unit, "@")
		if !isOne {
			instance = unit
		}
		return name + "@" + instance
	}
	return base
}

// dropIns returns the files that add to a unit, in their order.
func (u *Units) dropIns(unit string) []string {
	files := map[string]string{}
	var order []string
	for _, dir := range u.dirs {
		for _, name := range []string{unit, template(unit), suffixOf(unit)[1:]} {
			if !u.folder(dir).dropIns[name] {
				continue
			}
			at := path.Join(dir, name+".d")
			for _, entry := range u.list(at) {
				base := entry.Name()
				if files[base] != "" || !strings.HasSuffix(base, ".conf") || !u.exists(path.Join(at, base)) {
					continue
				}
				files[base] = path.Join(at, base)
				order = append(order, base)
			}
		}
	}
	slices.Sort(order)
	for i, base := range order {
		order[i] = files[base]
	}
	return order
}

func (u *Units) exists(name string) bool {
	_, err := fs.Stat(u.root, inFS(name))
	return err == nil
}

// settings returns what the files of a unit say.
func (u *Units) settings(unit string) settings {
	found, known := u.says[unit]
	if known {
		return found
	}
	if file, ok := u.file(unit); ok {
		found = parseUnit(u.read(file))
	}
	for _, file := range u.dropIns(unit) {
		found = append(found, parseUnit(u.read(file))...)
	}
	u.says[unit] = found
	return found
}
