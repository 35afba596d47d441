package layers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"vauban/layers/inside"
)

// insideDir is where a container finds what is ours: on a tmpfs, read-only, so
// that it is in no layer.
const insideDir = inside.Dir

// initPath is process 1 inside. Its base name is what ansible's setup module
// takes for the name of the service manager, and a full path keeps it from
// being found as /sbin/init.
const initPath = insideDir + "/init"

// Profile is a file inside that a shell reads to get the stand-ins first on
// its PATH, and /run filled again when units were installed.
const Profile = insideDir + "/profile"

// StandInPath is the folder of the stand-ins for the commands that the image has.
const StandInPath = inside.Bin

// UnitsPath is a program inside that prints the services of systemd's that the
// machine would have, and which of them would run, while no systemd does.
const UnitsPath = insideDir + "/units"

// BusyPath is a program inside that ends well when the container holds a
// process besides process 1 and those that run the program.
const BusyPath = insideDir + "/busy"

// StandIns are the commands that have one in the folder StandInPath, if the image has them.
func StandIns() []string { return inside.StandIns() }

// insideProgram is a file of the run's that the containers' are links to.
type insideProgram struct {
	once sync.Once
	path string
	err  error
}

// in writes the program into a folder, once.
func (p *insideProgram) in(dir string) (string, error) {
	p.once.Do(func() {
		content, err := builtProgram("inside", "that runs inside containers")
		if err != nil {
			p.err = err
			return
		}
		p.path = filepath.Join(dir, inside.Program)
		p.err = errors.Join(os.WriteFile(p.path, content, 0o555), os.Chmod(p.path, 0o555))
	})
	return p.path, p.err
}

// writeInside makes in the container's folder what is mounted at insideDir,
// and the file that stand-ins write to.
func (c *Container) writeInside() error {
	program, err := c.engine.inside.in(c.engine.run.dir)
	if err != nil {
		return err
	}
	at := filepath.Join(c.dir, "inside")
	// whatever the umask, for every user inside
	err = errors.Join(os.MkdirAll(at, 0o755), os.Chmod(at, 0o755), os.Link(program, filepath.Join(at, inside.Program)))
	links, files := inside.Links(), map[string][]byte{filepath.Base(Profile): inside.Profile()}
	if c.options.Systemd {
		delete(links, filepath.Base(initPath))
		files[filepath.Base(initPath)] = inside.SystemdInit
	}
	for name, target := range links {
		err = errors.Join(err, os.Symlink(target, filepath.Join(at, name)))
	}
	for name, content := range files {
		path := filepath.Join(at, name)
		err = errors.Join(err, os.WriteFile(path, content, 0o755), os.Chmod(path, 0o755))
	}
	// the files that others are mounted over, and what they write to
	for _, name := range []string{filepath.Base(userNamespacePath), filepath.Base(aptAuthAside), "passed", "../passed"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(at, name), nil, 0o600))
	}
	if err != nil {
		return fmt.Errorf("writing the container's own files: %w", err)
	}
	return nil
}

// PassedFile is a file on the builder that the stand-ins of the container
// append to: a line for each time that one of them left something out. It
// holds what the environment variable VAUBAN_TASK says, a tab, and what was
// left out.
func (c *Container) PassedFile() string { return filepath.Join(c.dir, "passed") }
