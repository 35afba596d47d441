// Package seccomp compiles a seccomp profile of the OCI runtime specification
// to the filter that the kernel takes. runc does the same by libseccomp, for
// process 1 of a container only.
package seccomp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

// architectures have a table of system calls. Those of x32 are answered as by
// a kernel that does not have it, which is Debian's default.
var architectures = map[specs.Arch]*arch.Info{
	specs.ArchX86_64: arch.X86_64, specs.ArchX86: arch.I386, specs.ArchX32: nil,
	specs.ArchAARCH64: arch.AARCH64, specs.ArchARM: arch.ARM,
}

// Compile makes the filter of a profile. Of several rules for one system call
// the first that matches counts. Pushing bytes into a terminal's input is
// refused whatever the profile says: its reader may be a shell of the builder.
func Compile(p *specs.LinuxSeccomp) ([]unix.SockFilter, error) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, fmt.Errorf("compiling a seccomp profile: only for little-endian machines")
	}
	fallback, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	program := []unix.SockFilter{load(offsetArch)}
	for _, name := range p.Architectures {
		info, known := architectures[name]
		if !known {
			return nil, fmt.Errorf("compiling a seccomp profile: unknown architecture %q", name)
		}
		if info == nil {
			continue
		}
		rules, err := rulesOf(p, info)
		if err != nil {
			return nil, err
		}
		block := rules.block(fallback, info == arch.X86_64)
		program = append(program, jump(unix.BPF_JEQ, uint32(info.ID), 1, 0), always(len(block)))
		program = append(program, block...)
	}
	program = append(program, ret(unix.SECCOMP_RET_KILL_PROCESS))
	if len(program) > maxInstructions {
		return nil, fmt.Errorf("compiling a seccomp profile: %d instructions are more than the kernel's %d", len(program), maxInstructions)
	}
	return program, nil
}

// rules are those of one architecture, by the number of the system call.
type rules map[uint32][]rule

// rule gives a value if all conditions hold.
type rule struct {
	conditions []condition
	value      uint32
}

// condition compares an argument; not turns it round.
type condition struct {
	arg         uint
	mask, value uint64
	atLeast     bool // else equal
	not         bool
}

// terminalRequests are those of ioctl(2) that write into a terminal's input.
var terminalRequests = []uint64{unix.TIOCSTI, 0x541c /* TIOCLINUX */}

func rulesOf(p *specs.LinuxSeccomp, info *arch.Info) (rules, error) {
	found := rules{}
	if ioctl, ok := info.SyscallNames["ioctl"]; ok {
		for _, request := range terminalRequests {
			// The kernel looks at 32 bits of it.
			c := condition{arg: 1, mask: 1<<32 - 1, value: request}
			found[uint32(ioctl)] = append(found[uint32(ioctl)], rule{[]condition{c}, errno(unix.EPERM)})
		}
		if general, err := action(p.DefaultAction, p.DefaultErrnoRet); err != nil {
			return nil, err
		} else if general == unix.SECCOMP_RET_ALLOW {
			found[uint32(ioctl)] = append(found[uint32(ioctl)], rule{nil, general})
		}
	}
	for _, call := range p.Syscalls {
		value, err := action(call.Action, call.ErrnoRet)
		if err != nil {
			return nil, err
		}
		conditions, err := conditionsOf(call.Args)
		if err != nil {
			return nil, err
		}
		for _, name := range call.Names {
			if number, ok := info.SyscallNames[name]; ok {
				found[uint32(number)] = append(found[uint32(number)], rule{conditions, value})
			}
		}
	}
	return found, nil
}

func conditionsOf(args []specs.LinuxSeccompArg) ([]condition, error) {
	var found []condition
	for _, a := range args {
		c := condition{arg: a.Index, mask: ^uint64(0), value: a.Value}
		switch a.Op {
		case specs.OpEqualTo:
		case specs.OpNotEqual:
			c.not = true
		case specs.OpMaskedEqual:
			c.mask, c.value = a.Value, a.ValueTwo
		case specs.OpGreaterEqual:
			c.atLeast = true
		case specs.OpLessThan:
			c.atLeast, c.not = true, true
		default:
			return nil, fmt.Errorf("compiling a seccomp profile: unknown comparison %q", a.Op)
		}
		found = append(found, c)
	}
	return found, nil
}

func action(a specs.LinuxSeccompAction, number *uint) (uint32, error) {
	switch a {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		if number != nil {
			return errno(unix.Errno(*number)), nil
		}
		return errno(unix.EPERM), nil
	}
	return 0, fmt.Errorf("compiling a seccomp profile: unknown action %q", a)
}

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// span is a run of system calls that get the same answer.
type span struct {
	first uint32
	body  []unix.SockFilter
}

// block answers the calls of one architecture. What is newer than the profile
// does not exist: so programs fall back on what is older, see runc's
// libcontainer/seccomp/patchbpf.
func (r rules) block(fallback uint32, x32 bool) []unix.SockFilter {
	numbers := make([]uint32, 0, len(r))
	for number := range r {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var spans []span
	add := func(first uint32, body []unix.SockFilter) {
		if len(spans) == 0 || !slices.Equal(spans[len(spans)-1].body, body) {
			spans = append(spans, span{first, body})
		}
	}
	next := uint32(0)
	for _, number := range numbers {
		if number > next {
			add(next, []unix.SockFilter{ret(fallback)})
		}
		add(number, answer(r[number], fallback))
		next = number + 1
	}
	newer := fallback
	if fallback != unix.SECCOMP_RET_ALLOW {
		newer = errno(unix.ENOSYS)
	}
	add(next, []unix.SockFilter{ret(newer)})
	if x32 {
		const x32Bit = 0x40000000
		add(x32Bit, []unix.SockFilter{ret(errno(unix.ENOSYS))})
	}
	return append([]unix.SockFilter{load(offsetNumber)}, search(spans)...)
}

// search finds the span of a number in logarithmic time.
func search(spans []span) []unix.SockFilter {
	if len(spans) == 1 {
		return spans[0].body
	}
	middle := len(spans) / 2
	below, above := search(spans[:middle]), search(spans[middle:])
	program := []unix.SockFilter{jump(unix.BPF_JGE, spans[middle].first, 0, 1), always(len(below))}
	return append(append(program, below...), above...)
}

// answer tries the rules in turn.
func answer(of []rule, fallback uint32) []unix.SockFilter {
	var program []unix.SockFilter
	for _, r := range of {
		if len(r.conditions) == 0 {
			return append(program, ret(r.value))
		}
		program = append(program, r.test()...)
	}
	return append(program, ret(fallback))
}
