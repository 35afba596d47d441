package enter

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one system call on the way into the container.
type call struct {
	what   string
	number uintptr
	args   [5]uintptr
	// optional calls may fail: older kernels do not know them.
	optional bool
}

// child is what the forked process does: everything is laid out before the
// fork, for nothing of Go's runtime works after it.
type child struct {
	pidfd int
	calls []call
	// files are tried one after the other, see execvp(3).
	names           []string
	files           []*byte
	argv, envp      []*byte
	shell           *byte
	shellArgv       []*byte
	report, receive int // a pipe
	kept            []any
}

// report of the child when it did not become the command: the index of the
// call, or that of execve(2), and the error.
const reportSize = 8

// newChild lists what the child does. The order matters: a seccomp filter
// needs the capabilities that are dropped after it, a change of user drops
// the rest, and clears the signal of a parent's death.
func newChild(s Spec, o Options, command []string, pidfd int) *child {
	c := &child{pidfd: pidfd}
	c.add("making a keyring", unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING).optional = true
	c.add("setting the umask", unix.SYS_UMASK, 0o022)
	if s.OpenFiles > 0 {
		c.limitFiles(s.OpenFiles)
	}
	if !o.Group {
		c.add("starting a session", unix.SYS_SETSID)
	}
	const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP
	c.add("entering its namespaces", unix.SYS_SETNS, uintptr(pidfd), namespaces)
	c.filter(s.Filter)
	if s.UserNamespace {
		c.add("entering its user namespace", unix.SYS_SETNS, uintptr(pidfd), unix.CLONE_NEWUSER)
	} else {
		c.drop(s.Capabilities)
	}
	dir := o.Dir
	if dir == "" {
		dir = "/"
	}
	c.add(fmt.Sprintf("changing to %q", dir), unix.SYS_CHDIR, c.text(dir))
	user := o.User
	if user == nil {
		user = &User{}
	}
	c.become(*user)
	if o.NoNewPrivileges {
		c.add("forgoing new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	c.add("tying the command to this program", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	c.execute(command, merge(s.Env, o.Env))
	return c
}

func (c *child) add(what string, number uintptr, args ...uintptr) *call {
	one := call{what: what, number: number}
	copy(one.args[:], args)
	c.calls = append(c.calls, one)
	return &c.calls[len(c.calls)-1]
}

// pointer keeps what a system call points to.
func pointer[T any](c *child, value *T) uintptr {
	c.kept = append(c.kept, value)
	return uintptr(unsafe.Pointer(value))
}

func (c *child) text(s string) uintptr { return pointer(c, cString(s)) }

// cString ends at the first NUL, as arguments of programs do.
func cString(s string) *byte {
	b := append([]byte(s), 0)
	return &b[0]
}

// limitFiles sets the limit, or the highest that is allowed.
func (c *child) limitFiles(n uint64) {
	c.add("limiting open files", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, pointer(c, &unix.Rlimit{Cur: n, Max: n})).optional = true
	var now unix.Rlimit
	if unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &now) == nil && now.Max < n {
		c.add("limiting open files", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, pointer(c, &unix.Rlimit{Cur: now.Max, Max: now.Max})).optional = true
	}
}

func (c *child) filter(filter []unix.SockFilter) {
	if len(filter) == 0 {
		return
	}
	program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	c.kept = append(c.kept, filter)
	c.add("setting the seccomp filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, pointer(c, program))
}

// drop leaves exactly the given capabilities: permitted and effective, and
// those that a program executed by root can have.
func (c *child) drop(keep uint64) {
	for capability := 0; capability < 64; capability++ {
		// A kernel has no more than it knows of.
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(capability), 0, 0, 0)
		if err == nil && has != 0 && keep&(1<<capability) == 0 {
			c.add("dropping a capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(capability))
		}
	}
	c.add("clearing ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(keep), uint32(keep>>32)
	data := &[2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	c.add("dropping capabilities", unix.SYS_CAPSET, pointer(c, header), pointer(c, data))
}

func (c *child) become(u User) {
	var groups uintptr
	if len(u.Groups) > 0 {
		c.kept = append(c.kept, u.Groups)
		groups = uintptr(unsafe.Pointer(&u.Groups[0]))
	}
	c.add("setting the groups", unix.SYS_SETGROUPS, uintptr(len(u.Groups)), groups)
	c.add("becoming the group", unix.SYS_SETRESGID, uintptr(u.GID), uintptr(u.GID), uintptr(u.GID))
	c.add("becoming the user", unix.SYS_SETRESUID, uintptr(u.UID), uintptr(u.UID), uintptr(u.UID))
}

func (c *child) execute(command, env []string) {
	for _, name := range candidates(command[0], env) {
		c.names = append(c.names, name)
		c.files = append(c.files, cString(name))
	}
	for _, word := range command {
		c.argv = append(c.argv, cString(word))
	}
	for _, word := range env {
		c.envp = append(c.envp, cString(word))
	}
	c.shell = cString("/bin/sh")
	c.shellArgv = append([]*byte{c.shell, nil}, c.argv[1:]...)
	c.argv, c.envp, c.shellArgv = append(c.argv, nil), append(c.envp, nil), append(c.shellArgv, nil)
}

// start forks the child into the container's pid namespace and returns when
// it has become the command.
func start(c *child) (pid, code int, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return 0, notEntered, fmt.Errorf("making a pipe: %w", err)
	}
	c.receive, c.report = pipe[0], pipe[1]
	if err := unix.Setns(c.pidfd, unix.CLONE_NEWPID); err != nil {
		return 0, notEntered, fmt.Errorf("entering its pid namespace: %w", err)
	}
	pid, errno := fork(c)
	runtime.KeepAlive(c)
	unix.Close(c.report)
	if errno != 0 {
		return 0, notEntered, fmt.Errorf("starting a process: %w", os.NewSyscallError("clone", errno))
	}
	var report [reportSize]byte
	n, _ := unix.Read(c.receive, report[:])
	unix.Close(c.receive)
	if n != reportSize {
		return pid, 0, nil
	}
	_, _ = unix.Wait4(pid, nil, 0, nil)
	failed := int(binary.NativeEndian.Uint32(report[:4]))
	errno = syscall.Errno(binary.NativeEndian.Uint32(report[4:]))
	if failed < len(c.calls) {
		return 0, notEntered, fmt.Errorf("%s: %w", c.calls[failed].what, errno)
	}
	code = 126
	if errno == unix.ENOENT || errno == unix.ENOTDIR {
		code = 127
	}
	return 0, code, fmt.Errorf("running %q: %w", c.name(), errno)
}

func (c *child) name() string {
	if len(c.names) == 1 {
		return c.names[0]
	}
	return c.names[0][len(c.names[0])-lastPart(c.names[0]):]
}

func lastPart(path string) int {
	n := 0
	for n < len(path) && path[len(path)-1-n] != '/' {
		n++
	}
	return n
}
