package beneath

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/internal/hostile"
)

// plain files of an image that the hostile ones stand in for.
var names = []string{
	"etc/hosts", "etc/hostname", "etc/machine-id", "etc/passwd", "etc/group", "etc/os-release", "imginfo", "packages",
	"var/lib/dpkg/status", "etc/apt/sources.list", "boot/grub/grub.cfg", "etc/default/grub",
}

// TestHostile reads each name in each way of making it hostile.
func TestHostile(t *testing.T) {
	top := t.TempDir()
	write(t, top, "secret", hostile.Secret)
	tried := 0
	kinds := hostile.Kinds(filepath.Join(top, "secret"))
	for _, k := range kinds {
		root := filepath.Join(top, k.Name)
		for _, name := range names {
			if err := hostile.Plant(root, name, k); err != nil {
				t.Fatal(err)
			}
			tried++
			content, err := ReadFile(t.Context(), root, name, 1<<20)
			if err == nil {
				t.Errorf("%s at %s: it was read, %d bytes", k.Name, name, len(content))
			} else if !strings.Contains(err.Error(), k.Says) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s at %s: %q does not say %q", k.Name, name, err, k.Says)
			}
			if errors.Is(err, ErrRefused) == k.Missing || errors.Is(err, fs.ErrNotExist) != k.Missing {
				t.Errorf("%s at %s: %v is of another kind", k.Name, name, err)
			}
		}
	}
	t.Logf("hostile files: %d kinds, %d reads", len(kinds), tried)
}

func TestLinks(t *testing.T) {
	root := t.TempDir()
	write(t, root, "usr/lib/os-release", "ID=debian\n")
	for name, target := range map[string]string{
		"etc/os-release": "../usr/lib/os-release",
		"etc/absolute":   "/usr/lib/os-release",
		"etc/above":      "../../../../usr/lib/os-release",
		"etc/twice":      "/etc/absolute",
		"lib":            "/usr/lib",
	} {
		symlink(t, root, name, target)
	}
	for _, name := range []string{"etc/os-release", "/etc/absolute", "etc/above", "etc/twice", "lib/os-release", "../lib/os-release"} {
		content, err := ReadFile(t.Context(), root, name, 10)
		if err != nil || string(content) != "ID=debian\n" {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	r := opened(t, root)
	if info, err := r.Lstat("etc/absolute"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("Lstat: %v, %v", info, err)
	}
	if info, err := r.Stat("etc/absolute"); err != nil || !info.Mode().IsRegular() || info.Size() != 10 {
		t.Errorf("Stat: %v, %v", info, err)
	}
	if info, err := r.LstatUnlinked("usr/lib/os-release"); err != nil || info.Size() != 10 {
		t.Errorf("LstatUnlinked: %v, %v", info, err)
	}
	if info, err := r.LstatUnlinked("etc/absolute"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("LstatUnlinked of a link: %v, %v", info, err)
	}
	for _, name := range []string{"lib/os-release", "usr/lib/os-release/x", "none"} {
		if info, err := r.LstatUnlinked(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("LstatUnlinked %s: %v, %v", name, info, err)
		}
	}
	if target, err := r.Readlink("etc/above"); err != nil || target != "../../../../usr/lib/os-release" {
		t.Errorf("Readlink: %q, %v", target, err)
	}
}

// TestMounts refuses what is mounted over an image: /proc would answer with
// the builder's rights.
func TestMounts(t *testing.T) {
	for _, name := range []string{"/proc/kallsyms", "/proc/self/exe", "/proc/self/root/etc/hostname", "/sys/kernel/notes", "/dev/zero"} {
		if content, err := ReadFile(t.Context(), "/", name, 1<<30); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %d bytes, %v", name, len(content), err)
		}
	}
	root := t.TempDir()
	symlink(t, root, "link", "/proc/self/environ")
	if _, err := ReadFile(t.Context(), "/proc/self", "environ", 1<<20); err != nil {
		t.Errorf("a root of any kind: %v", err)
	}
	if _, err := ReadFile(t.Context(), "/proc/self", "root/etc/hostname", 1<<20); !errors.Is(err, ErrRefused) {
		t.Errorf("a magic link: %v", err)
	}
}

func TestDirectories(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"etc/a.list", "etc/b.list", "etc/c.sources", "var/x/y.list"} {
		write(t, root, name, name)
	}
	symlink(t, root, "abs", "/etc")
	symlink(t, root, "out", "../../../../../../..")
	if err := unix.Mkfifo(filepath.Join(root, "var/fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	r := opened(t, root)
	for pattern, want := range map[string][]string{
		"/etc/*.list":      {"/etc/a.list", "/etc/b.list"},
		"abs/*.list":       {"/abs/a.list", "/abs/b.list"},
		"out/e*":           {"/out/etc"},
		"var/*/*.list":     {"/var/x/y.list"},
		"out/out/*/a.list": {"/out/out/abs/a.list", "/out/out/etc/a.list"},
		"none/*":           nil,
		"var/fifo/*":       nil,
		"etc/c*":           {"/etc/c.sources"},
		"etc/a.list":       {"/etc/a.list"},
	} {
		if got, err := r.Glob(pattern, 12); err != nil || !slices.Equal(got, want) {
			t.Errorf("Glob %s: %q, want %q, %v", pattern, got, want, err)
		}
	}
	if got, err := r.ReadDir("abs", 3); err != nil || len(got) != 3 {
		t.Errorf("ReadDir: %q, %v", got, err)
	}
	if _, err := r.ReadDir("abs", 2); !errors.Is(err, ErrRefused) {
		t.Errorf("a directory with more entries than the limit: %v", err)
	}
	if _, err := r.Glob("etc/[", 10); err == nil {
		t.Error("a bad pattern was taken")
	}
}

func TestLimit(t *testing.T) {
	root := t.TempDir()
	write(t, root, "file", "12345")
	if content, err := ReadFile(t.Context(), root, "file", 5); err != nil || string(content) != "12345" {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := ReadFile(t.Context(), root, "file", 4); !errors.Is(err, ErrRefused) {
		t.Errorf("one byte too many: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadFile(ended, root, "file", 5); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
}

func TestRegular(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "text")
	symlink(t, dir, "link", filepath.Join(dir, "file"))
	if content, err := ReadRegular(t.Context(), filepath.Join(dir, "link"), 4); err != nil || string(content) != "text" {
		t.Errorf("%q, %v", content, err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pipe, "/dev/zero", dir} {
		if _, err := ReadRegular(t.Context(), name, 4); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func opened(t *testing.T, dir string) *Root {
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func write(t *testing.T, root, name, content string) {
	path := filepath.Join(root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, root, name, target string) {
	path := filepath.Join(root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}
