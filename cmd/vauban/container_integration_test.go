//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// jobContainer is what a CI runner starts a job in: `docker run` with the given
// options, on the root filesystem of this machine, whose changes are thrown
// away.
type jobContainer struct {
	options []string // as docker run has them
	volumes map[string]string
	env     []string
	dir     string
}

// Docker's defaults.
// Source: https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
var dockerCapabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// run runs a script as a shell of the job would and gives its exit code and
// what it printed.
func (c jobContainer) run(t *testing.T, script string) (code int, said string) {
	t.Helper()
	bundle := t.TempDir()
	c.root(t, bundle)
	spec, err := json.Marshal(c.spec(t, script))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), spec, 0o600); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("vauban-job-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(bundle)))
	cmd := exec.CommandContext(t.Context(), "runc", "--root", filepath.Join(bundle, "runc"), "run", "--bundle", bundle, id)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// root is an overlay mount, as a runner's containers have it.
func (c jobContainer) root(t *testing.T, bundle string) {
	t.Helper()
	changes, root := filepath.Join(bundle, "changes"), filepath.Join(bundle, "rootfs")
	for _, dir := range []string{changes, root} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("tmpfs", changes, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(changes, unix.MNT_DETACH) })
	for _, dir := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(changes, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=/,upperdir=%[1]s/upper,workdir=%[1]s/work", changes)
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })
}

func (c jobContainer) spec(t *testing.T, script string) *specs.Spec {
	t.Helper()
	capabilities := slices.Clone(dockerCapabilities)
	var devices []specs.LinuxDevice
	allowed := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	allow := func(kind string, major, minor int64, access string) {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: access}
		if major >= 0 {
			rule.Major = &major
		}
		if minor >= 0 {
			rule.Minor = &minor
		}
		allowed = append(allowed, rule)
	}
	allow("c", -1, -1, "m")
	allow("b", -1, -1, "m")
	for _, minor := range []int64{3, 5, 7, 8, 9} { // null, zero, full, random, urandom
		allow("c", 1, minor, "rwm")
	}
	allow("c", 5, 0, "rwm")
	allow("c", 5, 2, "rwm")
	allow("c", 136, -1, "rwm")
	namespaces := []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}}
	masked := []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"}
	readOnly := []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	hostCgroups := false
	for i := 0; i < len(c.options); i += 2 {
		switch name, value := c.options[i], c.options[i+1]; {
		case name == "--cap-add":
			capabilities = append(capabilities, "CAP_"+value)
		case name == "--device" && value == "/dev/net/tun":
			mode := os.FileMode(0o666)
			devices = append(devices, specs.LinuxDevice{Path: value, Type: "c", Major: 10, Minor: 200, FileMode: &mode})
			allow("c", 10, 200, "rwm")
		case name == "--cgroupns" && value == "host":
			hostCgroups = true
		case name == "--security-opt" && value == "systempaths=unconfined":
			masked, readOnly = nil, nil
		case name == "--security-opt": // there is no seccomp profile and no AppArmor here
		case name == "--volume":
			host, inside, _ := strings.Cut(value, ":")
			if c.volumes[inside] == "" && host == inside {
				c.volumes[inside] = host
			}
		default:
			t.Fatalf("the option %s %s is not known here", name, value)
		}
	}
	if !hostCgroups {
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "nodev", "mode=1777"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue"},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755"}},
	}
	for _, inside := range slices.Sorted(maps.Keys(c.volumes)) {
		mounts = append(mounts, specs.Mount{Destination: inside, Type: "bind", Source: c.volumes[inside], Options: []string{"rbind", "rw"}})
	}
	set := &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities}
	return &specs.Spec{
		Version:  "1.0.2",
		Hostname: "runner",
		Root:     &specs.Root{Path: "rootfs"},
		Mounts:   mounts,
		Process: &specs.Process{
			Args: []string{"sh", "-ec", script}, Cwd: c.dir, Capabilities: set,
			Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}, c.env...),
		},
		Linux: &specs.Linux{
			Namespaces: namespaces, Devices: devices, MaskedPaths: masked, ReadonlyPaths: readOnly,
			Resources: &specs.LinuxResources{Devices: allowed},
		},
	}
}
