package inside

import (
	_ "embed"
	"path"
	"strings"
)

// Dir is where a container finds what is ours.
const Dir = "/run/vauban"

// Program is the program's name in [Dir]. The other names there that are ours
// are links to it: see [Links].
const Program = "program"

// Bin is the folder of the stand-ins for the commands that the image has.
const Bin = Dir + "/bin"

// binTarget is where Bin leads: Dir is read-only.
const binTarget = "/run/.vauban-bin"

// standInPath is where each name in Bin leads.
const standInPath = Dir + "/stand-in"

// passedPath is the file that stand-ins append their notes to.
const passedPath = Dir + "/passed"

// SystemdInit is a script that becomes systemd as process 1: a process of several
// threads, as Go's are, enters no user namespace.
//
//go:embed init-systemd
var SystemdInit []byte

//go:embed profile
var profileTemplate string

// Profile is a file that every shell of ansible's reads. It asks the same as the
// tools, of the same folders, and starts none that has nothing to do.
func Profile() []byte {
	return []byte(strings.NewReplacer(
		"@dir@", Dir, "@bin@", Bin, "@filled@", filledMark, "@linked@", linkedMark,
		"@declares@", strings.Join(declares, " "), "@commands@", strings.Join(commandDirs, " "),
	).Replace(profileTemplate))
}

// tools are what the program is under names in Dir.
var tools = map[string]func(*call) int{
	"init":     reap,
	"fill-run": fillRun,
	"link":     linkStandIns,
	"busy":     busy,
	"units":    listServices,
}

// Links are the links in Dir, by name.
func Links() map[string]string {
	links := map[string]string{path.Base(Bin): binTarget, path.Base(standInPath): Program}
	for name := range tools {
		links[name] = Program
	}
	return links
}
