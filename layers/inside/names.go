package inside

import (
	_ "embed"
	"path"
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

// Profile is a file that every shell of ansible's reads, and SystemdInit what
// becomes systemd as process 1: a process of several threads, as Go's are,
// enters no user namespace.
var (
	//go:embed profile
	Profile []byte
	//go:embed init-systemd
	SystemdInit []byte
)

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
