// Program recorder stands in a hostile image for a program or for the loader of
// its programs. It writes down what it was started with and becomes the real
// one.
package main

import (
	"os"
	"strings"
	"syscall"
)

func main() {
	status, _ := os.ReadFile("/proc/self/status")
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	first, _ := os.ReadFile("/proc/1/cgroup")
	var text strings.Builder
	text.WriteString("argv\t" + strings.Join(os.Args, " ") + "\n")
	for line := range strings.Lines(string(status)) {
		for _, key := range []string{"Cap", "Seccomp:", "NoNewPrivs:", "NSpid:", "PPid:"} {
			if strings.HasPrefix(line, key) {
				text.WriteString(line)
			}
		}
	}
	text.WriteString("cgroup\t" + strings.ReplaceAll(string(cgroup), "\n", " ") + "\n")
	text.WriteString("first\t" + strings.ReplaceAll(string(first), "\n", " ") + "\n")
	for _, fd := range open() {
		text.WriteString("fd\t" + fd + "\n")
	}
	// What all of root's rights would allow. An error is what is wanted.
	if err := syscall.Mount("none", "/mnt", "tmpfs", 0, ""); err == nil {
		text.WriteString("escape\tmount\n")
	}
	if err := syscall.Sethostname([]byte("escaped")); err == nil {
		text.WriteString("escape\tsethostname\n")
	}
	if _, err := os.Open("/dev/tty"); err == nil {
		text.WriteString("escape\ttty\n")
	}
	if log, err := os.OpenFile("/srv/recorded", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666); err == nil {
		log.WriteString(text.String() + "end\n")
		log.Close()
	}
	become()
}

// open lists what the program got open. The runtime's own files come after.
func open() []string {
	var found []string
	for fd := 0; fd < 64; fd++ {
		target, err := os.Readlink("/proc/self/fd/" + number(fd))
		if err != nil {
			continue
		}
		if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno == 0 && flags&syscall.FD_CLOEXEC != 0 {
			continue // opened by this program
		}
		found = append(found, number(fd)+" "+target)
	}
	return found
}

func number(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return number(n/10) + number(n%10)
}

// become hands over to what this program stands in for: NAME.real, or, where
// the kernel started it as a program's loader, the real loader.
func become() {
	self, _ := os.Readlink("/proc/self/exe")
	_ = syscall.Exec(self+".real", os.Args, os.Environ())
	loader := append([]string{"ld.so", "--argv0", os.Args[0], self}, os.Args[1:]...)
	_ = syscall.Exec("/srv/ld.real", loader, os.Environ())
	os.Exit(99)
}
