package daemon

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
)

// runtimeDir is where the sockets and what a reboot may forget are: unix
// socket paths end at 107 bytes (unix(7)), state directories may be longer.
const runtimeDir = "/run/vauban"

// paths are the daemon's places.
type paths struct {
	state   string // the state directory: absolute, without links
	runtime string // the same for all processes that use that directory
}

// makePaths makes the folders that both the starter and the daemon need.
func makePaths(stateDir string) (paths, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return paths{}, fmt.Errorf("making the state directory: %w", err)
	}
	state, err := filepath.Abs(stateDir)
	if err == nil {
		state, err = filepath.EvalSymlinks(state)
	}
	if err != nil {
		return paths{}, fmt.Errorf("resolving the state directory: %w", err)
	}
	p := pathsOf(state)
	for _, dir := range []string{p.logDir(), p.binDir(), p.root()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return paths{}, fmt.Errorf("making the daemon's folders: %w", err)
		}
	}
	return p, nil
}

func pathsOf(state string) paths {
	id := sha256.Sum256([]byte(state))
	return paths{state: state, runtime: filepath.Join(runtimeDir, fmt.Sprintf("%x", id[:6]))}
}

// makeRuntime is done by the daemon alone, which removes it.
func (p paths) makeRuntime() error {
	// containerd wants to make mount points there that others may reach.
	if err := os.MkdirAll(p.runtime, 0o711); err != nil {
		return fmt.Errorf("making the runtime folder: %w", err)
	}
	return nil
}

// removeRuntime leaves everything where a container still is: that of a run
// which was killed, to be swept by another.
func (p paths) removeRuntime() error {
	tasks, err := filepath.Glob(filepath.Join(p.runtimeState(), "io.containerd.runtime.v2.task/*/*"))
	if err != nil || len(tasks) > 0 {
		return err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(p.runtime))
	if err != nil || len(mounts) > 0 {
		return err
	}
	if err := os.RemoveAll(p.runtime); err != nil {
		return fmt.Errorf("removing the runtime folder: %w", err)
	}
	return nil
}

func (p paths) lock() string   { return filepath.Join(p.state, "lock") }
func (p paths) daemon() string { return filepath.Join(p.state, "daemon") }
func (p paths) root() string   { return filepath.Join(p.state, "containerd") }
func (p paths) binDir() string { return filepath.Join(p.state, "bin") }
func (p paths) logDir() string { return filepath.Join(p.state, "log") }
func (p paths) log() string    { return filepath.Join(p.logDir(), "containerd.log") }
func (p paths) socket() string { return filepath.Join(p.runtime, "containerd.sock") }

// runtimeState is containerd's own.
func (p paths) runtimeState() string { return filepath.Join(p.runtime, "state") }
