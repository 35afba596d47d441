package seccomp

import (
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// run is what the kernel does with a filter. Its data are those of struct
// seccomp_data, in words of 32 bits.
func run(t *testing.T, program []unix.SockFilter, id, number uint32, args ...uint64) uint32 {
	t.Helper()
	data := [16]uint32{number, id}
	for i, a := range args {
		data[4+2*i], data[5+2*i] = uint32(a), uint32(a>>32)
	}
	a := uint32(0)
	for at := 0; at < len(program); at++ {
		one := program[at]
		taken := false
		switch one.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[one.K/4]
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= one.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return one.K
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(one.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			taken = a == one.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			taken = a >= one.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			taken = a > one.K
		default:
			t.Fatalf("instruction %d has the unknown code %#x", at, one.Code)
		}
		if taken {
			at += int(one.Jt)
		} else {
			at += int(one.Jf)
		}
	}
	t.Fatal("the program ends without an answer")
	return 0
}

func TestCompile(t *testing.T) {
	nosys := uint(unix.ENOSYS)
	args := func(a ...specs.LinuxSeccompArg) []specs.LinuxSeccompArg { return a }
	const big = 5<<32 | 7
	program, err := Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"read", "write", "ioctl", "close", "no_such_call"}, Action: specs.ActAllow},
			{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &nosys},
			{Names: []string{"clone"}, Action: specs.ActAllow, Args: args(specs.LinuxSeccompArg{Index: 0, Value: 0x7e020000, Op: specs.OpMaskedEqual})},
			{Names: []string{"socket"}, Action: specs.ActAllow, Args: args(specs.LinuxSeccompArg{Value: 38, Op: specs.OpLessThan})},
			{Names: []string{"socket"}, Action: specs.ActAllow, Args: args(specs.LinuxSeccompArg{Value: 44, Op: specs.OpEqualTo})},
			{Names: []string{"dup2"}, Action: specs.ActAllow, Args: args(
				specs.LinuxSeccompArg{Index: 0, Value: big, Op: specs.OpGreaterEqual},
				specs.LinuxSeccompArg{Index: 1, Value: big, Op: specs.OpNotEqual})},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const allow = unix.SECCOMP_RET_ALLOW
	eperm, enosys := errno(unix.EPERM), errno(unix.ENOSYS)
	amd, x86 := uint32(arch.X86_64.ID), uint32(arch.I386.ID)
	for _, test := range []struct {
		what       string
		id, number uint32
		args       []uint64
		want       uint32
	}{
		{"read", amd, unix.SYS_READ, nil, allow},
		{"close", amd, unix.SYS_CLOSE, nil, allow},
		{"open", amd, unix.SYS_OPEN, nil, eperm},
		{"stat", amd, unix.SYS_STAT, nil, eperm},
		{"clone3", amd, unix.SYS_CLONE3, nil, enosys},
		{"newer than the profile", amd, unix.SYS_CLONE3 + 1, nil, enosys},
		{"fork", amd, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, allow},
		{"a new user namespace", amd, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, eperm},
		{"a namespace, with other bits", amd, unix.SYS_CLONE, []uint64{unix.CLONE_NEWNS | 1<<40}, eperm},
		{"an ordinary socket", amd, unix.SYS_SOCKET, []uint64{unix.AF_INET}, allow},
		{"AF_ALG", amd, unix.SYS_SOCKET, []uint64{unix.AF_ALG}, eperm},
		{"AF_XDP", amd, unix.SYS_SOCKET, []uint64{unix.AF_XDP}, allow},
		{"a socket of a domain over 32 bits", amd, unix.SYS_SOCKET, []uint64{1 << 33}, eperm},
		{"terminal attributes", amd, unix.SYS_IOCTL, []uint64{0, unix.TCGETS}, allow},
		{"typing into a terminal", amd, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, eperm},
		{"typing, with bits the kernel ignores", amd, unix.SYS_IOCTL, []uint64{0, 1<<32 | unix.TIOCSTI}, eperm},
		{"pasting into a terminal", amd, unix.SYS_IOCTL, []uint64{0, 0x541c}, eperm},
		{"at least, equal", amd, unix.SYS_DUP2, []uint64{big, 0}, allow},
		{"at least, upper half above", amd, unix.SYS_DUP2, []uint64{6 << 32, 0}, allow},
		{"at least, upper half below", amd, unix.SYS_DUP2, []uint64{4<<32 | 9, 0}, eperm},
		{"at least, lower half below", amd, unix.SYS_DUP2, []uint64{5<<32 | 6, 0}, eperm},
		{"not equal, but is", amd, unix.SYS_DUP2, []uint64{big, big}, eperm},
		{"not equal, upper half", amd, unix.SYS_DUP2, []uint64{big, 7}, allow},
		{"not equal, lower half", amd, unix.SYS_DUP2, []uint64{big, 5 << 32}, allow},
		{"x32", amd, 0x40000000, nil, enosys},
		{"a number above all", amd, 1<<32 - 1, nil, enosys},
		{"read of i386", x86, 3, nil, allow},
		{"fork of i386", x86, 2, nil, eperm},
		{"typing, i386", x86, 54, []uint64{0, unix.TIOCSTI}, eperm},
		{"another machine's call", uint32(arch.AARCH64.ID), 63, nil, unix.SECCOMP_RET_KILL_PROCESS},
	} {
		if got := run(t, program, test.id, test.number, test.args...); got != test.want {
			t.Errorf("%s: %#x, want %#x", test.what, got, test.want)
		}
	}
}

func TestCompileAllowing(t *testing.T) {
	program, err := Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"kexec_load"}, Action: specs.ActErrno}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[uint32]uint32{
		unix.SYS_READ: unix.SECCOMP_RET_ALLOW, unix.SYS_KEXEC_LOAD: errno(unix.EPERM), 9999: unix.SECCOMP_RET_ALLOW,
		unix.SYS_IOCTL: unix.SECCOMP_RET_ALLOW,
	} {
		if got := run(t, program, uint32(arch.X86_64.ID), number); got != want {
			t.Errorf("call %d: %#x, want %#x", number, got, want)
		}
	}
	if got := run(t, program, uint32(arch.X86_64.ID), unix.SYS_IOCTL, 0, unix.TIOCSTI); got != errno(unix.EPERM) {
		t.Errorf("typing into a terminal: %#x", got)
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, p := range map[string]*specs.LinuxSeccomp{
		"an unknown action":       {DefaultAction: specs.ActNotify},
		"an unknown architecture": {DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchS390}},
		"an unknown comparison": {DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_NEW"}}}}},
	} {
		if _, err := Compile(p); err == nil {
			t.Errorf("%s was compiled", name)
		}
	}
}
