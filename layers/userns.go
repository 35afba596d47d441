package layers

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"vauban/internal/thread"

	"golang.org/x/sys/unix"
)

// everyID is the size of the map that gives each user and group inside the
// number it has outside: owners stay as they are.
const everyID = 1<<32 - 1

// userNamespace is a user namespace, and a network and a host name that it
// owns. Whoever is root in it may do everything to these, and nothing to what
// belongs to the builder. A process holds them until a container does.
type userNamespace struct {
	owner  int // the user who may enter it
	holder *exec.Cmd
	life   io.Closer // the holder ends when this is closed
}

func newUserNamespace() (_ *userNamespace, err error) {
	cmd := exec.Command("cat")
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	all := []syscall.SysProcIDMap{{Size: everyID}}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWUTS,
		// Both as root of the builder, so setgroups(2) stays allowed.
		UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true,
	}
	owner := ownerID()
	if err := startAs(owner, cmd); err != nil {
		return nil, fmt.Errorf("making a user namespace: %w (%w)", err, CheckUserNamespaces())
	}
	return &userNamespace{owner, cmd, life}, nil
}

// ownerID is a user that the builder has not: numbers from 1<<31 on belong to
// nobody, see https://systemd.io/UIDS-GIDS. What a namespace uses counts
// towards the limits of who made it: root's 128 inotify instances would not do
// for twenty machines.
func ownerID() int { return 1<<31 | rand.IntN(1<<30) }

// startAs starts a command by a thread whose effective user is id and who may
// do all the same what root may.
func startAs(id int, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go thread.Own(func() {
		const keepCapabilities = 1 << 2 // SECBIT_NO_SETUID_FIXUP
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, keepCapabilities, 0, 0, 0); err != nil {
			done <- fmt.Errorf("keeping the capabilities: %w", err)
			return
		}
		// The library's function is for all threads.
		const same = ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(id), same); errno != 0 {
			done <- fmt.Errorf("becoming user %d: %w", id, errno)
			return
		}
		done <- cmd.Start()
	})
	return <-done
}

// path is what setns(2) wants: kind is "user", "net" or "uts".
func (u *userNamespace) path(kind string) string {
	return fmt.Sprintf("/proc/%d/ns/%s", u.holder.Process.Pid, kind)
}

// release ends the holder; what runs in the namespaces keeps them.
func (u *userNamespace) release() {
	if u == nil {
		return
	}
	u.life.Close()
	u.holder.Wait()
}

// CheckUserNamespaces says why this machine cannot run a container with
// `init: systemd`. Nil where nothing is known to prevent it.
func CheckUserNamespaces() error { return checkUserNamespaces("/proc") }

func checkUserNamespaces(proc string) error {
	limit, err := os.ReadFile(filepath.Join(proc, "sys/user/max_user_namespaces"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("the kernel has no user namespaces: `init: systemd` needs one with CONFIG_USER_NS")
	case err != nil:
		return err
	case string(limit) == "0\n":
		return errors.New("user namespaces are switched off: sysctl -w user.max_user_namespaces=10000")
	}
	if may, err := canEnterOthers(filepath.Join(proc, "self/status")); err != nil {
		return err
	} else if !may {
		return errors.New("the capability to enter the processes of others is missing: docker run --cap-add SYS_PTRACE")
	}
	hierarchies, err := cgroupMountsIn(filepath.Join(proc, "self/mountinfo"))
	if err != nil {
		return err
	}
	if hierarchies[""] == "" {
		return errors.New("cgroup v2 is not mounted: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
	}
	return nil
}

// canEnterOthers says whether CAP_SYS_PTRACE is among the effective
// capabilities that a status file of proc(5) names.
func canEnterOthers(status string) (bool, error) {
	data, err := os.ReadFile(status)
	if err != nil {
		return false, err
	}
	_, rest, found := strings.Cut(string(data), "\nCapEff:\t")
	digits, _, _ := strings.Cut(rest, "\n")
	effective, err := strconv.ParseUint(digits, 16, 64)
	if !found || err != nil {
		return false, fmt.Errorf("reading the capabilities in %q: it holds %q", status, digits)
	}
	return effective&(1<<unix.CAP_SYS_PTRACE) != 0, nil
}

// seal keeps a program in memory that nothing can write to any more. A program
// of the builder that enters a container is for an instant a process there,
// which root inside may look at, and through /proc/PID/exe at its file.
func seal(name string, content []byte) (_ *os.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keeping a copy of %q in memory: %w", name, err)
		}
	}()
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all were executable
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if _, err := file.Write(content); err != nil {
		return nil, err
	}
	if err := file.Chmod(0o500); err != nil {
		return nil, err
	}
	_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	return file, err
}
