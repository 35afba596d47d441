package layers

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// initPath is process 1 inside. Its base name is what ansible's setup module
// takes for the name of the service manager, and a full path keeps it from
// being found as /sbin/init.
const initPath = "/run/vauban/init"

//go:embed init.sh
var initScript []byte

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
func (o ContainerOptions) spec(ctx context.Context, id, dir string, ns *userNamespace, more ...specs.Mount) (*oci.Spec, error) {
	script, content := filepath.Join(dir, "init"), initScript
	if o.Systemd {
		content = initSystemdScript
	}
	if err := os.WriteFile(script, content, 0o755); err != nil {
		return nil, fmt.Errorf("writing process 1: %w", err)
	}
	opts := []oci.SpecOpts{
		oci.WithDefaultSpec(),
		oci.WithDefaultUnixDevices,
		oci.WithProcessArgs(initPath),
		oci.WithEnv(o.environment()),
		oci.WithHostname(o.Name),
		oci.WithCapabilities(o.capabilities()),
		oci.WithNewPrivileges,
		oci.WithNamespacedCgroup(),
		oci.WithMounts(append(mounts(script, filepath.Join(dir, "apt")), more...)),
		withWritableSysctls,
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

func mounts(script, apt string) []specs.Mount {
	return []specs.Mount{
		{Type: "tmpfs", Source: "tmpfs", Destination: "/tmp", Options: []string{"nosuid", "nodev", "mode=1777"}},
		bindMount(script, initPath, "ro"),
		bindMount(filepath.Join(apt, "cache"), aptCache),
		bindMount(filepath.Join(apt, "lists"), aptLists),
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
