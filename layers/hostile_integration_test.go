//go:build integration

package layers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/pipeline/provenance"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"vauban/export"
	"vauban/internal/beneath"
	"vauban/layers"
)

// A stage that makes files of the image something else does not harm the next.
// The devices are a loop device that does not exist, and /dev/zero.
const hostileStage = `
replace() { rm -rf "$1"; mkdir -p "$(dirname "$1")"; }
replace /etc/hostname;            mkfifo /etc/hostname
replace /etc/machine-id;          ln -s /dev/zero /etc/machine-id
replace /etc/resolv.conf;         mknod /etc/resolv.conf c 1 5
replace /etc/os-release;          ln -s os-release /etc/os-release
replace /usr/lib/os-release;      mkfifo /usr/lib/os-release
replace /imginfo;                 mkfifo /imginfo
replace /packages;                ln -s ../../../../../../etc/shadow /packages
replace /var/lib/dpkg/status;     mkfifo /var/lib/dpkg/status
replace /boot/grub/grub.cfg;      mkfifo /boot/grub/grub.cfg
replace /etc/default/grub;        mknod /etc/default/grub b 7 250
replace /etc/ssh/ssh_host_x_key;  mkfifo /etc/ssh/ssh_host_x_key
replace /usr/lib/systemd/system/x.service; mknod /usr/lib/systemd/system/x.service c 1 5
replace /usr/lib/modules/x/kernel; mkfifo /usr/lib/modules/x/kernel
mknod /srv/device b 7 250
`

func TestHostileImage(t *testing.T) {
	e, base := shared.use(t)
	// The next container starts: what it needs there is replaced.
	img := applyOne(t, e, hostileStage, target("hostile", base))
	next := applyOne(t, e, `rm /etc/hosts; mknod /etc/hosts b 7 250`, target("next", img))
	sources := applyOne(t, e, `rm -f /etc/apt/sources.list; mkfifo /etc/apt/sources.list`, target("sources", img))
	live(t, e, target("user", img), func(c *layers.Container) {
		if said := mustSh(t, c, "cat /etc/hostname"); said != "user" {
			t.Errorf("its name is %q", said)
		}
		mustSh(t, c, "rm /etc/passwd /etc/group; mknod /etc/passwd b 7 250; mkfifo /etc/group")
		err := c.Exec(t.Context(), layers.Process{Args: []string{"id"}, User: "daemon"})
		if !errors.Is(err, beneath.ErrRefused) || !strings.Contains(err.Error(), `"/etc/passwd" is a block device`) {
			t.Errorf("a user of a block device: %v", err)
		}
	})
	// Others do not: /etc/hosts would be the builder's disk, and runc would wait for users.
	users := applyOne(t, e, `rm /etc/group; mkfifo /etc/group`, target("users", img))
	for name, from := range map[string]layers.Image{
		`"/etc/hosts" is a block device`: next, `"/etc/group" is a named pipe`: users, `"/etc/apt/sources.list" is a named pipe`: sources,
	} {
		err := e.Try(t.Context(), script("true"), target("last", from), func(*layers.Container) error { return nil })
		if !errors.Is(err, beneath.ErrRefused) || !strings.Contains(err.Error(), name) {
			t.Errorf("a container where %s: %v", name, err)
		}
	}
	if _, err := provenance.HistoryOf(t.Context(), e, next); !errors.Is(err, beneath.ErrRefused) || !strings.Contains(err.Error(), `"/imginfo" is a named pipe`) {
		t.Errorf("its history: %v", err)
	}
	if o, err := e.Which(t.Context(), next, "/etc/hosts"); err != nil || o.Layer != len(next.Manifest.Layers) {
		t.Errorf("which layer wrote /etc/hosts: %+v, %v", o, err)
	}
	mounted := func(ctx context.Context, fn func(string) error) error { return e.Mount(ctx, next, fn) }
	_, err := export.Rootfs(t.Context(), filepath.Join(t.TempDir(), "rootfs"), mounted, export.RootfsOptions{})
	if !errors.Is(err, beneath.ErrRefused) || !strings.Contains(err.Error(), "grub.cfg") {
		t.Errorf("its kernel parameters: %v", err)
	}
	err = e.Mount(t.Context(), next, func(root string) error {
		_, err := exec.CommandContext(t.Context(), "head", "-c1", filepath.Join(root, "srv/device")).CombinedOutput()
		return err
	})
	if err == nil {
		t.Error("a device of a mounted image can be opened")
	}
}

// TestAbsentShell is about an image that no container can be made of: it is
// still packed, with its devices, set-user-id bits and capabilities, although
// none of these works where it is mounted.
func TestAbsentShell(t *testing.T) {
	e, _ := shared.use(t)
	img, err := e.ImportRootfs(t.Context(), tinyRoot(t), ocispec.ImageConfig{}, layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "tar"})
	if err != nil {
		t.Fatal(err)
	}
	err = e.Try(t.Context(), script("true"), target("tiny", img), func(*layers.Container) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "the image has no /bin/sh") || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("a container without a shell: %v", err)
	}
	out := filepath.Join(t.TempDir(), "rootfs.squashfs")
	mounted := func(ctx context.Context, fn func(string) error) error { return e.Mount(ctx, img, fn) }
	if _, err := export.Rootfs(t.Context(), out, mounted, export.RootfsOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := exec.CommandContext(t.Context(), "unsquashfs", "-lln", out).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, list)
	}
	for _, want := range []string{"brw-r-----", "7,250", "rwsr-xr-x"} {
		if !strings.Contains(strings.ReplaceAll(string(list), " ", ""), want) {
			t.Errorf("the packed image lacks %q:\n%s", want, list)
		}
	}
	unpacked := filepath.Join(t.TempDir(), "root")
	if said, err := exec.CommandContext(t.Context(), "unsquashfs", "-d", unpacked, out, "usr/bin/tool").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if got := attribute(t, filepath.Join(unpacked, "usr/bin/tool"), "security.capability"); got != capability {
		t.Errorf("its capabilities are %q", got)
	}
}

// capability is cap_net_bind_service=ep, as the kernel stores it.
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func tinyRoot(t *testing.T) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "usr/bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "usr/bin/tool", Typeflag: tar.TypeReg, Mode: 0o4755, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability}},
		{Name: "srv/device", Typeflag: tar.TypeBlock, Mode: 0o640, Devmajor: 7, Devminor: 250},
	} {
		h.ModTime = time.Unix(1700000000, 0)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func attribute(t *testing.T, path, name string) string {
	t.Helper()
	value := make([]byte, 256)
	n, err := unix.Lgetxattr(path, name, value)
	if err != nil {
		t.Fatal(err)
	}
	return string(value[:n])
}
