//go:build integration

package bases

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vauban/config"
)

// TestDiskImages reads the root filesystem of images as clouds have them: raw
// and qcow2, with partitions and without.
func TestDiskImages(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "tree", "etc", "hostname"), "cloud\n")
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	run("mkfs.ext4", "-q", "-d", path("tree"), path("whole.raw"), "8M")
	filesystem, err := os.ReadFile(path("whole.raw"))
	if err != nil {
		t.Fatal(err)
	}
	const before = 1 << 20
	disk := make([]byte, before+len(filesystem))
	copy(disk[before:], filesystem)
	// The first of an MBR's partitions, of Linux' type.
	disk[446+4] = 0x83
	binary.LittleEndian.PutUint32(disk[446+8:], before/sector)
	binary.LittleEndian.PutUint32(disk[446+12:], uint32(len(filesystem)/sector))
	disk[510], disk[511] = 0x55, 0xaa
	write(path("disk.raw"), string(disk))
	run("qemu-img", "convert", "-O", "qcow2", path("disk.raw"), path("disk.qcow2"))
	run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", path("disk.raw"), path("standing.qcow2"))
	run("sh", "-c", "xz -0 < $0 > $0.xz && gzip -1 < $1 > $1.gz && zstd -q $0", path("disk.raw"), path("disk.qcow2"))
	run("tar", "--create", "--gzip", "--sparse", "--directory", dir, "--file", path("cloud.tar.gz"), "disk.raw")
	write(path("text"), strings.Repeat("text\n", 200))

	run("gzip", "-k", path("text"))

	o := &Opener{Config: &config.Config{Path: "config.yml", Dir: dir}, WorkDir: t.TempDir()}
	read := func(name string) (map[string]string, error) {
		root, _, err := o.Root(t.Context(), &config.Base{Name: "base", Source: config.Source{Kind: config.File, Value: name}})
		if err != nil {
			return nil, err
		}
		files, err := filesOf(root)
		return files, errors.Join(err, root.Close())
	}
	for _, name := range []string{"whole.raw", "disk.raw", "disk.qcow2", "disk.raw.xz", "disk.raw.zst", "disk.qcow2.gz", "cloud.tar.gz"} {
		files, err := read(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(files) != 1 || files["./etc/hostname"] != "cloud\n" {
			t.Errorf("%s holds %q", name, files)
		}
	}
	for name, want := range map[string]string{"standing.qcow2": "has a backing file", "text": "nor a disk image", "text.gz": "nor a disk image"} {
		if _, err := read(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(o.WorkDir); err != nil || len(left) > 0 {
		t.Errorf("left: %v: %v", left, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), o.WorkDir) {
		t.Errorf("something is still mounted: %v", err)
	}
}

// filesOf are the regular files of a tar.
func filesOf(r io.Reader) (map[string]string, error) {
	files := map[string]string{}
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r)
			return files, err
		} else if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(entries)
		if err != nil {
			return nil, err
		}
		files[h.Name] = string(content)
	}
}
