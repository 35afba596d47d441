package layers

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"vauban/layers/enter"
)

// built holds the programs of cmd/vauban-enter and cmd/vauban-inside once make
// has built them.
//
//go:embed built
var built embed.FS

// sealEnterProgram keeps the program that enters containers in memory.
func sealEnterProgram() (*os.File, error) {
	content, err := builtProgram("enter", "that enters containers")
	if err != nil {
		return nil, err
	}
	return seal("vauban-enter", content)
}

// builtProgram returns one of the programs.
func builtProgram(name, what string) ([]byte, error) {
	content, err := built.ReadFile("built/" + name)
	if err != nil {
		return nil, fmt.Errorf("this vauban was built without the program %s: build it with make", what)
	}
	return content, nil
}

// enterProgram is a path by which children of this process start it.
func (e *Engine) enterProgram() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), e.entering.Fd())
}

// entrance keeps the file that describes a container to the program that
// enters it.
type entrance struct {
	dir string

	mutex   sync.Mutex
	content []byte
	count   int
}

// file returns the file's path. A container is described again when it has
// changed: systemd moves to another cgroup. Where that fails the program says
// that the file is missing.
func (e *entrance) file(spec enter.Spec) string {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	path := func() string { return filepath.Join(e.dir, fmt.Sprintf("enter-%d", e.count)) }
	content := spec.Encode()
	if bytes.Equal(content, e.content) {
		return path()
	}
	e.count++
	if err := os.WriteFile(path(), content, 0o600); err == nil {
		e.content = content
	}
	return path()
}

// capabilityBits are those of the names that are among defaultCapabilities.
func capabilityBits(names []string) uint64 {
	var bits uint64
	for _, name := range names {
		bits |= 1 << capabilityNumbers[strings.TrimPrefix(name, "CAP_")]
	}
	return bits
}

var capabilityNumbers = map[string]uint{
	"CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "FSETID": unix.CAP_FSETID,
	"FOWNER": unix.CAP_FOWNER, "MKNOD": unix.CAP_MKNOD, "NET_RAW": unix.CAP_NET_RAW,
	"SETGID": unix.CAP_SETGID, "SETUID": unix.CAP_SETUID, "SETFCAP": unix.CAP_SETFCAP,
	"SETPCAP": unix.CAP_SETPCAP, "NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"SYS_CHROOT": unix.CAP_SYS_CHROOT, "KILL": unix.CAP_KILL, "AUDIT_WRITE": unix.CAP_AUDIT_WRITE,
	"NET_ADMIN": unix.CAP_NET_ADMIN,
}
