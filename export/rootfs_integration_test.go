//go:build integration

package export

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"vauban/internal/treecmp"
)

// plant makes a small root filesystem with what is hard to pack and what
// must not ship.
func plant(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"etc/hostname":                "master\n",
		"etc/machine-id":              "0123456789abcdef0123456789abcdef\n",
		"etc/resolv.conf":             "nameserver 192.0.2.1\n",
		"etc/passwd":                  "root:x:0:0:root:/root:/bin/sh\n",
		"var/lib/dbus/machine-id":     "0123456789abcdef0123456789abcdef\n",
		"usr/bin/tool":                strings.Repeat("a tool\n", 40_000),
		"usr/share/od[d]* +(x)\n\xff": "odd",
		"usr/lib/modules/6.1.0-25-amd64/kernel/a.ko":  "module",
		"usr/lib/modules/6.1.0-22-amd64/updates/b.ko": "left over",
		"boot/vmlinuz-6.1.0-25-amd64":                 "kernel",
	} {
		plantFile(t, filepath.Join(root, name), content)
	}
	for _, name := range []string{
		"proc/1", "sys/x", "dev/.hidden", "run/lock/x", "tmp/ d*[x]", "tmp/.hidden",
		"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub", "var/lib/systemd/random-seed",
		"var/lib/dhcp/dhclient.eth0.leases", "etc/ssl/private/ssl-cert-snakeoil.key", "root/.ansible/tmp/x",
		"root/.bash_history", "boot/initrd.img-6.1.0-25-amd64", "etc/nvme/hostid",
	} {
		plantFile(t, filepath.Join(root, name), "does not ship")
	}
	// One more name of a file that does not ship is another file's business.
	must(t, os.Link(filepath.Join(root, "etc/ssh/ssh_host_rsa_key"), filepath.Join(root, "usr/share/linked")))
	must(t, os.Link(filepath.Join(root, "usr/bin/tool"), filepath.Join(root, "usr/bin/tool2")))
	must(t, os.Symlink("usr/bin", filepath.Join(root, "bin")))
	must(t, unix.Mknod(filepath.Join(root, "usr/share/device"), syscall.S_IFCHR|0o600, int(unix.Mkdev(5, 1))))
	must(t, unix.Mkfifo(filepath.Join(root, "usr/share/fifo"), 0o640))
	must(t, os.Chown(filepath.Join(root, "etc/hostname"), 1000, 70_000))
	must(t, os.Chmod(filepath.Join(root, "usr/bin/tool"), 0o755|os.ModeSetuid))
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky))
	must(t, unix.Setxattr(filepath.Join(root, "usr/bin/tool"), "user.note", []byte("x"), 0))
	must(t, unix.Setxattr(filepath.Join(root, "usr/bin"), "trusted.note", []byte("y"), 0))
	must(t, os.Truncate(filepath.Join(root, "usr/share/linked"), 3<<20)) // a hole
	return root
}

func plantFile(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// mountSquashfs shows what a guest would see.
func mountSquashfs(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "squashfs", "-o", "loop,ro", image, dir).CombinedOutput(); err != nil {
		t.Fatalf("mounting %s: %v: %s", image, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// wantThere checks which paths a tree has.
func wantThere(t *testing.T, root string, paths map[string]bool) {
	t.Helper()
	for path, want := range paths {
		_, err := os.Lstat(filepath.Join(root, path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if got := err == nil; got != want {
			t.Errorf("%q is there: %v, want %v", path, got, want)
		}
	}
}

// wantMachineID checks that a tree's machine-id is there and empty.
func wantMachineID(t *testing.T, root string) {
	t.Helper()
	info, err := os.Lstat(filepath.Join(root, "etc/machine-id"))
	must(t, err)
	if info.Size() != 0 || info.Mode() != 0o444 {
		t.Errorf("/etc/machine-id has %d bytes and mode %v; want an empty file, 0444", info.Size(), info.Mode())
	}
}

func TestRootfsIsTheTree(t *testing.T) {
	root := plant(t)
	out := filepath.Join(t.TempDir(), "rootfs.squashfs")
	before := filepath.Join(t.TempDir(), "before")
	must(t, exec.Command("cp", "-a", root, before).Run())
	report, err := Rootfs(t.Context(), out, mounted(root), RootfsOptions{})
	must(t, err)

	leftOut := []string{
		"boot/initrd.img-6.1.0-25-amd64", "dev/.hidden", "etc/nvme/hostid",
		"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub", "etc/ssl/private/ssl-cert-snakeoil.key",
		"proc/1", "root/.ansible", "root/.bash_history", "run/lock", "sys/x", "tmp/ d*[x]", "tmp/.hidden",
		"var/lib/dhcp/dhclient.eth0.leases", "var/lib/systemd/random-seed",
	}
	if diff := cmp.Diff(leftOut, report.LeftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"6.1.0-25-amd64"}, report.Kernels); diff != "" {
		t.Errorf("kernels (-want +got):\n%s", diff)
	}
	info, err := os.Stat(out)
	must(t, err)
	if report.Size != info.Size() || info.Mode() != 0o644 || report.Path != out {
		t.Errorf("report %q, %d bytes; file has %d bytes and mode %v", report.Path, report.Size, info.Size(), info.Mode())
	}

	packed := mountSquashfs(t, out)
	replaced := []string{"etc/machine-id", "var/lib/dbus/machine-id"}
	same := treecmp.Options{Skip: func(path string) bool { return slices.Contains(append(replaced, leftOut...), path) }}
	for _, difference := range treecmp.Compare(root, packed, same) {
		t.Error(difference)
	}
	wantMachineID(t, packed)
	if target, err := os.Readlink(filepath.Join(packed, "var/lib/dbus/machine-id")); err != nil || target != "/etc/machine-id" {
		t.Errorf("dbus' machine-id leads to %q, %v", target, err)
	}
	for _, path := range leftOut {
		wantThere(t, packed, map[string]bool{path: false})
	}
	for _, difference := range treecmp.Compare(before, root, treecmp.Options{}) {
		t.Errorf("the packed tree changed: %s", difference)
	}
}

// TestRootfsShipsFiles puts a machine's own files in, in the place of those
// that an image has and never ships.
func TestRootfsShipsFiles(t *testing.T) {
	root := plant(t)
	files := []RootfsFile{
		{Path: "etc/ssh/ssh_host_rsa_key", Mode: 0o600, Content: []byte("its own\n")},
		{Path: "etc/machine-id", Mode: 0o444, Content: []byte("89abcdef0123456789abcdef01234567\n")},
		{Path: "srv/made/here", Mode: 0o644, Content: []byte(strings.Repeat("long\n", 40_000))},
	}
	out := filepath.Join(t.TempDir(), "rootfs.squashfs")
	_, err := Rootfs(t.Context(), out, mounted(root), RootfsOptions{Files: files})
	must(t, err)
	packed := mountSquashfs(t, out)
	for _, f := range files {
		path := filepath.Join(packed, f.Path)
		content, err := os.ReadFile(path)
		must(t, err)
		info, err := os.Lstat(path)
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		if string(content) != string(f.Content) || info.Mode() != f.Mode || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s has %d bytes, mode %v, owner %d:%d", f.Path, len(content), info.Mode(), st.Uid, st.Gid)
		}
	}
	wantThere(t, packed, map[string]bool{"etc/ssh/ssh_host_rsa_key.pub": false, "etc/hostname": true})

	again := filepath.Join(t.TempDir(), "rootfs.squashfs")
	_, err = Rootfs(t.Context(), again, mounted(root), RootfsOptions{Files: files})
	must(t, err)
	if a, b := digestOf(t, out), digestOf(t, again); a != b {
		t.Errorf("two packings differ: %v, %v", a, b)
	}
	for _, bad := range []string{"bin/tool", "../etc/passwd", "etc/a b", "/etc/x", "etc/hostname/x"} {
		if _, err := Rootfs(t.Context(), again, mounted(root), RootfsOptions{Files: []RootfsFile{{Path: bad}}}); err == nil {
			t.Errorf("a file at %q is packed", bad)
		}
	}
}

func digestOf(t *testing.T, path string) digest.Digest {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	return digest.FromBytes(content)
}

func TestRootfsIsReproducible(t *testing.T) {
	root := plant(t)
	var sums []digest.Digest
	for range 2 {
		out := filepath.Join(t.TempDir(), "rootfs.squashfs")
		_, err := Rootfs(t.Context(), out, mounted(root), RootfsOptions{})
		must(t, err)
		sums = append(sums, digestOf(t, out))
		t.Setenv("SOURCE_DATE_EPOCH", "1700000000") // not ours to obey
	}
	if sums[0] != sums[1] {
		t.Errorf("two packings of one tree differ: %v", sums)
	}
}

func TestRootfsDate(t *testing.T) {
	root := plant(t)
	for want, o := range map[uint32]RootfsOptions{0: {}, 1_700_000_000: {Time: time.Unix(1_700_000_000, 0)}} {
		out := filepath.Join(t.TempDir(), "rootfs.squashfs")
		_, err := Rootfs(t.Context(), out, mounted(root), o)
		must(t, err)
		b, err := os.ReadFile(out)
		must(t, err)
		// Reference: struct squashfs_super_block, mkfs_time, in the kernel's
		// fs/squashfs/squashfs_fs.h.
		if got := binary.LittleEndian.Uint32(b[8:]); got != want {
			t.Errorf("made at %d, want %d", got, want)
		}
	}
}

func TestRootfsCompressions(t *testing.T) {
	root := plant(t)
	for _, o := range []RootfsOptions{
		{Compression: "zstd", Level: 1}, {Compression: "xz", BlockSize: 1 << 20}, {Compression: "gzip"},
		{Memory: 1, Processors: 1, Time: time.Unix(1_700_000_000, 0)},
	} {
		out := filepath.Join(t.TempDir(), "rootfs.squashfs")
		if _, err := Rootfs(t.Context(), out, mounted(root), o); err != nil {
			t.Error(err)
			continue
		}
		if b, err := os.ReadFile(filepath.Join(mountSquashfs(t, out), "etc/hostname")); err != nil || string(b) != "master\n" {
			t.Errorf("%+v: /etc/hostname is %q, %v", o, b, err)
		}
	}
}

func TestRootfsUserExclusions(t *testing.T) {
	root := plant(t)
	list, err := ParseExclusions("list", strings.NewReader("usr/share/*\n!etc/ssh/*_key\n!proc/*\n"))
	must(t, err)
	out := filepath.Join(t.TempDir(), "rootfs.squashfs")
	report, err := Rootfs(t.Context(), out, mounted(root), RootfsOptions{Exclude: list})
	must(t, err)
	ships := map[string]bool{
		"usr/share": true, "usr/share/device": false, "usr/share/od[d]* +(x)\n\xff": false,
		"etc/ssh/ssh_host_rsa_key": true, "etc/ssh/ssh_host_rsa_key.pub": false, "proc/1": true,
	}
	wantThere(t, mountSquashfs(t, out), ships)
	for path, ships := range ships {
		if slices.Contains(report.LeftOut, path) == ships {
			t.Errorf("%q reported as left out: %v", path, ships)
		}
	}
}

func TestRootfsNamesACLs(t *testing.T) {
	root := plant(t)
	// Reference: include/uapi/linux/posix_acl_xattr.h; user 1000 may read.
	acl := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, 0xffffffff}, {2, 4, 1000}, {4, 4, 0xffffffff}, {16, 4, 0xffffffff}, {32, 4, 0xffffffff}} {
		acl = binary.LittleEndian.AppendUint16(acl, uint16(e[0]))
		acl = binary.LittleEndian.AppendUint16(acl, uint16(e[1]))
		acl = binary.LittleEndian.AppendUint32(acl, e[2])
	}
	must(t, unix.Setxattr(filepath.Join(root, "etc/passwd"), "system.posix_acl_access", acl, 0))
	must(t, unix.Setxattr(filepath.Join(root, "usr/share"), "system.posix_acl_default", acl, 0))
	must(t, unix.Setxattr(filepath.Join(root, "root/.ansible"), "system.posix_acl_default", acl, 0))
	report, err := Rootfs(t.Context(), filepath.Join(t.TempDir(), "out"), mounted(root), RootfsOptions{})
	must(t, err)
	if diff := cmp.Diff([]string{"etc/passwd", "usr/share"}, report.ACLs); diff != "" {
		t.Errorf("ACLs (-want +got):\n%s", diff)
	}
}

func TestRootfsWithoutDbus(t *testing.T) {
	root := t.TempDir()
	plantFile(t, filepath.Join(root, "etc/hostname"), "x")
	out := filepath.Join(t.TempDir(), "out")
	_, err := Rootfs(t.Context(), out, mounted(root), RootfsOptions{})
	must(t, err)
	packed := mountSquashfs(t, out)
	wantMachineID(t, packed)
	wantThere(t, packed, map[string]bool{"var": false}) // not made for a dbus that is not there
}

func TestRootfsFailures(t *testing.T) {
	broken := errors.New("cannot mount")
	tests := map[string]struct {
		rootfs func(context.Context, func(string) error) error
		o      RootfsOptions
		want   string
	}{
		"no mount":      {func(context.Context, func(string) error) error { return broken }, RootfsOptions{}, "cannot mount"},
		"no root":       {mounted(t.TempDir()), RootfsOptions{}, "not a root filesystem"},
		"no program":    {mounted(plant(t)), RootfsOptions{Program: "mksquashfs-that-is-not-there"}, "install squashfs-tools"},
		"program fails": {mounted(plant(t)), RootfsOptions{Program: "false"}, "running mksquashfs: exit status 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "rootfs.squashfs")
			must(t, os.WriteFile(out, []byte("of the run before"), 0o644))
			_, err := Rootfs(t.Context(), out, test.rootfs, test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			wantOnly(t, dir, "of the run before")
		})
	}
}

func TestRootfsCancelled(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Rootfs(ctx, filepath.Join(dir, "out"), func(_ context.Context, fn func(string) error) error {
		cancel()
		return fn(plant(t))
	}, RootfsOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

// mounted lends a tree as the engine lends a mounted image.
func mounted(root string) func(context.Context, func(string) error) error {
	return func(_ context.Context, fn func(string) error) error { return fn(root) }
}
