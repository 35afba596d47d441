package boot

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// machine is what is asked of QEMU.
type machine struct {
	program           string
	kvm               bool
	memory, cpus      int // MiB, number
	kernel, initramfs string
	commandLine       string
	// script is the URL of the iPXE script that the network card is led to;
	// it names kernel, initramfs and command line then.
	script    string
	firmware  string // a file; QEMU's own when empty
	serialLog string
	// interactive puts the first serial port on QEMU's stdin and stdout,
	// which otherwise carry the second one.
	interactive bool
}

// args returns QEMU's argv, the program first.
func (m machine) args() []string {
	accel := []string{"-accel", "tcg,thread=multi"}
	if m.kvm {
		accel = []string{"-accel", "kvm"}
	}
	args := []string{m.program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"}
	args = append(args, accel...)
	args = append(args,
		"-cpu", "max",
		"-smp", strconv.Itoa(m.cpus),
		"-m", strconv.Itoa(m.memory),
		// Without a source of randomness the guest waits for one.
		"-device", "virtio-rng-pci",
	)
	args = append(args, m.loader()...)
	if m.firmware != "" {
		args = append(args, "-bios", m.firmware)
	}
	if m.interactive {
		return append(args,
			"-chardev", "stdio,id=console,mux=on,signal=off,logfile="+escape(m.serialLog),
			"-mon", "chardev=console",
			"-serial", "chardev:console")
	}
	return append(args,
		"-chardev", "file,id=console,path="+escape(m.serialLog),
		"-serial", "chardev:console",
		"-chardev", "stdio,id=report,signal=off",
		"-serial", "chardev:report")
}

// loader returns the options of the network card and of what it is to load.
func (m machine) loader() []string {
	if m.script == "" {
		return []string{
			"-kernel", m.kernel, "-initrd", m.initramfs, "-append", m.commandLine,
			"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net",
		}
	}
	return []string{
		"-netdev", "user,id=net,bootfile=" + escape(m.script), "-device", "virtio-net-pci,netdev=net,bootindex=0",
		// A machine that finds nothing to boot ends.
		"-boot", "reboot-timeout=0",
	}
}

// escape protects a path in one of QEMU's comma-separated options.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// hostAddress is how a guest on QEMU's user network sees the loopback of the
// namespace that QEMU runs in.
const hostAddress = "10.0.2.2"

// newMachine prepares a machine that boots the release from a server on that
// loopback. What it has to change of the release it writes into scratch.
func newMachine(o Options, r Release, scratch string) (machine, error) {
	m := machine{
		program:     o.Program,
		kvm:         canAccelerate(),
		memory:      o.Memory,
		cpus:        o.CPUs,
		kernel:      filepath.Join(o.Tree, r.Path, kernelFile),
		initramfs:   filepath.Join(o.Tree, r.Path, initramfsFile),
		firmware:    o.Firmware,
		interactive: !o.Wait,
	}
	const base = "http://" + hostAddress
	entry, err := NewEntry(r, o.Host, base)
	if err != nil {
		return m, err
	}
	entry.CommandLine.Consoles = []string{"ttyS0,115200"}
	entry.CommandLine.Extra = slices.Concat(entry.CommandLine.Extra, m.parameters(o.Extra))
	if o.Wait {
		if m.initramfs, err = appendProbe(m.initramfs, scratch, o.Probe); err != nil {
			return m, err
		}
		entry.Initramfs = base + scratchPath + initramfsFile
	}
	if o.PXE {
		m.script = base + scratchPath + scriptFile
		err = writeScript(entry, filepath.Join(scratch, scriptFile))
	} else {
		m.commandLine, err = entry.CommandLine.Render()
	}
	if err != nil {
		return m, err
	}
	if m.memory == 0 {
		if m.memory, err = fittingMemory(o.Tree, r, o.Host); err != nil {
			return m, err
		}
	}
	m.serialLog, err = serialLog(o.SerialLog)
	return m, err
}

// scriptFile is the entry that the machine's network card loads.
const scriptFile = "boot.ipxe"

func writeScript(entry Entry, path string) error {
	var script bytes.Buffer
	if err := entry.WriteIPXE(&script); err != nil {
		return err
	}
	return os.WriteFile(path, script.Bytes(), 0o644)
}

// parameters returns the kernel's parameters besides those of the boot entry.
func (m machine) parameters(extra []string) []string {
	var parameters []string
	if !m.kvm {
		// QEMU keeps its translations per virtual address. With a libc that
		// is elsewhere in each process, it translates it for each, and when
		// a page with thousands of translations is written again, walks all
		// of them at every store: guests stood still for minutes.
		parameters = append(parameters, "norandmaps")
	}
	if !m.interactive {
		// A machine that cannot boot ends, instead of waiting for somebody
		// to read its console: -no-reboot turns a panic's reboot into exit.
		parameters = append(parameters, "rd.emergency=poweroff", "panic=-1")
	}
	return append(parameters, extra...)
}

// serialLog returns the path of an empty file for the console.
func serialLog(path string) (string, error) {
	var file *os.File
	var err error
	if path == "" {
		file, err = os.CreateTemp("", "vauban-serial-*.log")
	} else {
		file, err = os.Create(path)
	}
	if err != nil {
		return "", err
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	return filepath.Abs(file.Name())
}

// fittingMemory is what a machine of the release needs, in MiB: its files are
// in memory, some of them twice or unpacked, and the system wants to run.
func fittingMemory(tree string, r Release, host string) (int, error) {
	const system = 768 << 20
	need := int64(system)
	size := func(name string, times int64) error {
		info, err := os.Stat(filepath.Join(tree, r.Path, name))
		if err == nil {
			need += times * info.Size()
		}
		return err
	}
	err := errors.Join(size(rootfsFile, 1), size(initramfsFile, 4))
	if host != "" {
		err = errors.Join(err, size(conffsFile(host), 10))
	}
	return int(need >> 20), err
}

// appendProbe copies an initramfs and appends the archive that makes the guest
// report.
func appendProbe(initramfs, scratch, probe string) (string, error) {
	from, err := os.Open(initramfs)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(scratch, initramfsFile))
	if err != nil {
		return "", err
	}
	defer to.Close()
	n, err := io.Copy(to, from)
	if err != nil {
		return "", err
	}
	// The kernel looks for a further archive at a multiple of four.
	if _, err := to.Write(make([]byte, (4-n%4)%4)); err != nil {
		return "", err
	}
	return to.Name(), errors.Join(writeProbe(to, probe), to.Close())
}
