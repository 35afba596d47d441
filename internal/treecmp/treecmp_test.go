package treecmp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes the same tree every time.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"d", "d/e"} {
		must(t, os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "d/f"), []byte("content"), 0o644))
	must(t, os.Link(filepath.Join(root, "d/f"), filepath.Join(root, "d/g")))
	must(t, os.Symlink("f", filepath.Join(root, "d/l")))
	must(t, unix.Mkfifo(filepath.Join(root, "p"), 0o600))
	for _, path := range []string{"d/f", "d/l", "d/e", "d", "p", "."} {
		at := unix.NsecToTimespec(time.Unix(1000, 0).UnixNano())
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, path), []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
	return root
}

func TestCompare(t *testing.T) {
	cases := map[string]struct {
		change func(root string) error
		want   string // beginning of one of the differences; "" for none
	}{
		"same":      {func(string) error { return nil }, ""},
		"mode":      {func(root string) error { return os.Chmod(filepath.Join(root, "p"), 0o644) }, "p: mode 0600, 0644"},
		"content":   {func(root string) error { return os.WriteFile(filepath.Join(root, "d/f"), []byte("CONTENT"), 0) }, "d/f: content"},
		"size":      {func(root string) error { return os.Truncate(filepath.Join(root, "d/f"), 1) }, "d/f: content of 1 bytes instead of 7"},
		"missing":   {func(root string) error { return os.Remove(filepath.Join(root, "d/e")) }, "d/e: only in the first tree (directory)"},
		"more":      {func(root string) error { return os.Mkdir(filepath.Join(root, "n"), 0o755) }, "n: only in the second tree (directory)"},
		"link":      {func(root string) error { return replace(filepath.Join(root, "d/l"), "g") }, "d/l: target f, g"},
		"hard link": {func(root string) error { return copyOf(filepath.Join(root, "d/g")) }, "d/g: first link d/f, d/g"},
		"type":      {func(root string) error { return replace(filepath.Join(root, "d/e"), "f") }, "d/e: type directory, symlink"},
		"mtime":     {func(root string) error { return os.Chtimes(root, time.Now(), time.Unix(7, 0)) }, ".: mtime 1000, 7"},
		"attribute": {func(root string) error { return unix.Setxattr(filepath.Join(root, "d/f"), "user.a", []byte("1"), 0) }, `d/f: xattr user.a missing, "1"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, b := tree(t), tree(t)
			must(t, c.change(b))
			got := Compare(a, b, Options{})
			for _, line := range got {
				if c.want != "" && strings.HasPrefix(line, c.want) {
					return
				}
			}
			if c.want != "" || len(got) > 0 {
				t.Errorf("differences %q, want %q", got, c.want)
			}
		})
	}
}

func replace(path, target string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// copyOf makes a hard link a file of its own.
func copyOf(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func TestCompareSkips(t *testing.T) {
	a, b := tree(t), tree(t)
	must(t, copyOf(filepath.Join(b, "d/g")))
	must(t, unix.Setxattr(filepath.Join(b, "d/f"), "user.a", []byte("1"), 0))
	must(t, os.Mkdir(filepath.Join(b, "new"), 0o755))
	got := Compare(a, b, Options{
		Skip:      func(path string) bool { return path == "new" },
		SkipMtime: func(string) bool { return true },
		SkipXattr: func(path, name string) bool { return path == "d/f" && name == "user.a" },
		SkipLinks: true,
	})
	if len(got) > 0 {
		t.Errorf("differences %q, want none", got)
	}
	if got := Compare(a, b, Options{}); len(got) < 4 {
		t.Errorf("differences %q, want those that were left out above", got)
	}
}
