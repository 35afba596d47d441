package layers

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// defaultCapabilities are containerd's for an ordinary container: enough for
// apt, su, chown, mknod and setcap; not enough to mount, to set the clock or
// to load a module.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD",
	"CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capabilities of a container: NET_ADMIN is harmless, and wanted by firewall
// tasks, in a network namespace of its own; in the builder's it never is.
func (o ContainerOptions) capabilities() []string {
	if o.HostNetwork {
		return defaultCapabilities
	}
	return append(slices.Clone(defaultCapabilities), "CAP_NET_ADMIN")
}

// spec describes the container to runc. dir is the container's folder on the
// builder; ns are the namespaces for systemd, else nil; more are
// mounted too.
func (o ContainerOptions) spec(ctx context.Context, id, dir string, ns *userNamespace, limits Limits, more ...specs.Mount) (*oci.Spec, error) {
	opts := []oci.SpecOpts{
		oci.WithDefaultSpec(),
		oci.WithDefaultUnixDevices,
		oci.WithProcessArgs(initPath),
		oci.WithEnv(o.initEnvironment()),
		oci.WithHostname(o.Name),
		oci.WithCapabilities(o.capabilities()),
		oci.WithNewPrivileges,
		oci.WithNamespacedCgroup(),
		oci.WithMounts(append(mounts(dir), more...)),
		withWritableSysctls,
		withMachinesShm,
		o.withSeccomp,
		limits.spec,
	}
	if o.HostNetwork {
		opts = append(opts, oci.WithHostNamespace(specs.NetworkNamespace))
	}
	if o.Systemd {
		opts = append(opts, withSystemd(ns))
	}
	spec, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: id}, opts...)
	if err != nil {
		return nil, fmt.Errorf("describing the container: %w", err)
	}
	return spec, nil
}

// initEnvironment is process 1's: what asks it whether this is a container,
// as the facts of ansible and systemd-detect-virt do, learns of none. Roles
// leave out half of their work in one. Systemd itself has to know.
func (o ContainerOptions) initEnvironment() []string {
	if o.Systemd {
		return o.environment()
	}
	return slices.DeleteFunc(o.environment(), func(word string) bool { return strings.HasPrefix(word, "container=") })
}

// MountPoints are where something of the builder's is mounted inside, which a
// machine has not. More may be mounted below them.
func MountPoints() []string { return []string{insideDir, aptCache, aptLists} }

func mounts(dir string) []specs.Mount {
	return []specs.Mount{
		bindMount(filepath.Join(dir, "inside"), insideDir, "ro"),
		bindMount(filepath.Join(dir, "passed"), insideDir+"/passed"),
		bindMount(filepath.Join(dir, "apt", "cache"), aptCache),
	}
}

func bindMount(source, target string, options ...string) specs.Mount {
	return specs.Mount{Type: "bind", Source: source, Destination: target, Options: append(options, "rbind")}
}

// withWritableSysctls keeps runc from making /proc/sys read-only: a private
// copy is mounted over it before anything runs.
func withWritableSysctls(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	s.Linux.ReadonlyPaths = slices.DeleteFunc(s.Linux.ReadonlyPaths, func(p string) bool { return p == "/proc/sys" })
	return nil
}

// withMachinesShm has /dev/shm mounted as systemd does it on a machine: what
// hardens mounts writes those options to fstab that it finds to be missing.
func withMachinesShm(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	for i, m := range s.Mounts {
		if m.Destination == "/dev/shm" {
			s.Mounts[i].Source, s.Mounts[i].Options = "tmpfs", []string{"nosuid", "nodev", "strictatime", "mode=1777"}
		}
	}
	return nil
}
