package seccomp

import "golang.org/x/sys/unix"

// Offsets in struct seccomp_data, see seccomp(2).
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(value uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
}

func and(mask uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
}

// jump skips as many instructions as it says.
func jump(compare uint16, k uint32, ifTrue, ifFalse uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | compare | unix.BPF_K, Jt: ifTrue, Jf: ifFalse, K: k}
}

func always(skip int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(skip)}
}

// test returns the rule's value if all of its conditions hold, and goes on
// behind itself if not.
func (r rule) test() []unix.SockFilter {
	program := []unix.SockFilter{ret(r.value)}
	for i := len(r.conditions) - 1; i >= 0; i-- {
		program = append(r.conditions[i].test(len(program)), program...)
	}
	return program
}

// test goes on behind itself if the condition holds, else it skips as many
// instructions more. The upper half of an argument decides, unless it is equal.
func (c condition) test(skip int) []unix.SockFilter {
	lower := offsetArgs + 8*uint32(c.arg)
	low := c.half(lower, uint32(c.mask), uint32(c.value), uint8(skip))
	upperMask, upper := uint32(c.mask>>32), uint32(c.value>>32)
	if upperMask == 0 && upper == 0 && !c.atLeast {
		return low
	}
	holds, fails := uint8(len(low)), uint8(len(low)+skip)
	if c.not {
		holds, fails = fails, holds
	}
	program := []unix.SockFilter{load(lower + 4), and(upperMask)}
	if c.atLeast {
		program = append(program, jump(unix.BPF_JGT, upper, holds+1, 0), jump(unix.BPF_JEQ, upper, 0, fails))
	} else {
		program = append(program, jump(unix.BPF_JEQ, upper, 0, fails))
	}
	return append(program, low...)
}

func (c condition) half(offset, mask, value uint32, skip uint8) []unix.SockFilter {
	compare := uint16(unix.BPF_JEQ)
	if c.atLeast {
		compare = unix.BPF_JGE
	}
	ifTrue, ifFalse := uint8(0), skip
	if c.not {
		ifTrue, ifFalse = skip, 0
	}
	return []unix.SockFilter{load(offset), and(mask), jump(compare, value, ifTrue, ifFalse)}
}
