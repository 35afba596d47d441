package boot

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strings"
)

// canAccelerate reports whether KVM works. Where the processor's flags do not
// show virtualisation, as in most virtual machines, /dev/kvm may open and
// guests still hang before they print anything.
func canAccelerate() bool {
	cpuinfo, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return false
	}
	defer cpuinfo.Close()
	if !virtualises(cpuinfo) {
		return false
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	kvm.Close()
	return true
}

// virtualises looks for Intel's or AMD's flag in the form of /proc/cpuinfo.
func virtualises(cpuinfo io.Reader) bool {
	lines := bufio.NewScanner(cpuinfo)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		flags := strings.Fields(value)
		return slices.Contains(flags, "vmx") || slices.Contains(flags, "svm")
	}
	return false
}
