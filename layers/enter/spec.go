// Package enter runs one command inside a running container, confined before
// the first byte of the container's image is executed or loaded. Its program,
// cmd/vauban-enter, is started for every such command: it imports little,
// so that it starts fast.
package enter

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Spec is what the program has to know of a container. It is in a file that
// the builder's root alone can read.
type Spec struct {
	// Init is process 1 of the container, as the builder numbers it.
	Init int
	// Started is when it started, field 22 of proc_pid_stat(5): a pid alone
	// may be another process's by now.
	Started uint64
	// Cgroups are the cgroup.procs files of the container's cgroups.
	Cgroups []string
	// UserNamespace enters the container's user namespace too: every
	// capability is one over the container alone then. Capabilities is not
	// looked at.
	UserNamespace bool
	// Capabilities is the set of bits that remain.
	Capabilities uint64
	// OpenFiles is the limit of open files. 0: the caller's.
	OpenFiles uint64
	// Filter is a seccomp filter. Empty: none.
	Filter []unix.SockFilter
	// Env is the environment, NAME=value.
	Env []string
}

// filterSize is that of a struct sock_filter.
const filterSize = 8

// Encode writes a Spec as the program reads it: key=value, each with a NUL at
// its end.
func (s Spec) Encode() []byte {
	var out []byte
	add := func(key, value string) { out = append(append(append(append(out, key...), '='), value...), 0) }
	add("init", strconv.Itoa(s.Init))
	add("started", strconv.FormatUint(s.Started, 10))
	for _, path := range s.Cgroups {
		add("cgroup", path)
	}
	if s.UserNamespace {
		add("userns", "")
	}
	add("capabilities", strconv.FormatUint(s.Capabilities, 16))
	add("openfiles", strconv.FormatUint(s.OpenFiles, 10))
	filter := make([]byte, 0, len(s.Filter)*filterSize)
	for _, f := range s.Filter {
		filter = append(filter, byte(f.Code), byte(f.Code>>8), f.Jt, f.Jf, byte(f.K), byte(f.K>>8), byte(f.K>>16), byte(f.K>>24))
	}
	add("filter", hex.EncodeToString(filter))
	for _, word := range s.Env {
		add("env", word)
	}
	return out
}

// Decode is the reverse of [Spec.Encode].
func Decode(data []byte) (Spec, error) {
	var s Spec
	text, whole := strings.CutSuffix(string(data), "\x00")
	if !whole {
		return s, errors.New("the description of the container is incomplete")
	}
	for _, line := range strings.Split(text, "\x00") {
		key, value, _ := strings.Cut(line, "=")
		if err := s.set(key, value); err != nil {
			return s, fmt.Errorf("the description of the container: %q: %w", key, err)
		}
	}
	if s.Init <= 1 || len(s.Cgroups) == 0 {
		return s, errors.New("the description of the container is incomplete")
	}
	return s, nil
}

func (s *Spec) set(key, value string) (err error) {
	switch key {
	case "init":
		s.Init, err = strconv.Atoi(value)
	case "started":
		s.Started, err = strconv.ParseUint(value, 10, 64)
	case "cgroup":
		s.Cgroups = append(s.Cgroups, value)
	case "userns":
		s.UserNamespace = true
	case "capabilities":
		s.Capabilities, err = strconv.ParseUint(value, 16, 64)
	case "openfiles":
		s.OpenFiles, err = strconv.ParseUint(value, 10, 64)
	case "filter":
		s.Filter, err = decodeFilter(value)
	case "env":
		s.Env = append(s.Env, value)
	default:
		return errors.New("unknown key: build vauban with make")
	}
	return err
}

func decodeFilter(text string) ([]unix.SockFilter, error) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data)%filterSize != 0 {
		return nil, errors.New("not a filter")
	}
	var filter []unix.SockFilter
	for ; len(data) > 0; data = data[filterSize:] {
		filter = append(filter, unix.SockFilter{
			Code: uint16(data[0]) | uint16(data[1])<<8, Jt: data[2], Jf: data[3],
			K: uint32(data[4]) | uint32(data[5])<<8 | uint32(data[6])<<16 | uint32(data[7])<<24,
		})
	}
	return filter, nil
}

// StartTime is when a process started, field 22 of proc_pid_stat(5).
func StartTime(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field may hold spaces and parentheses.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("reading the start time of process %d: too few fields", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
