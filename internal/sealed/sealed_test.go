package sealed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckFindsDamage(t *testing.T) {
	damages := map[string]func(t *testing.T, dir string){
		"a flipped byte":     func(t *testing.T, dir string) { write(t, filepath.Join(dir, "vmlinuz"), "kernfl") },
		"a file cut short":   func(t *testing.T, dir string) { write(t, filepath.Join(dir, "vmlinuz"), "kern") },
		"an emptied file":    func(t *testing.T, dir string) { write(t, filepath.Join(dir, "vmlinuz"), "") },
		"a missing file":     func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "sub/file")) },
		"another target":     func(t *testing.T, dir string) { relink(t, filepath.Join(dir, "link")) },
		"no digests":         func(t *testing.T, dir string) { remove(t, filepath.Join(dir, name)) },
		"emptied digests":    func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), "") },
		"digests of nothing": func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), "{}") },
		"digests cut in two": func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), `{"files": {"vmlinuz": "sha`) },
		"a directory of files": func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "vmlinuz"))
			mkdir(t, filepath.Join(dir, "vmlinuz"))
		},
	}
	for title, damage := range damages {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "vmlinuz"), "kernel")
			mkdir(t, filepath.Join(dir, "sub"))
			write(t, filepath.Join(dir, "sub/file"), "")
			if err := os.Symlink("vmlinuz", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if err := Folder(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "later"), "a file that came later")
			if err := Check(t.Context(), dir); err != nil {
				t.Fatalf("what is whole: %v", err)
			}
			damage(t, dir)
			if err := Check(t.Context(), dir); !errors.Is(err, ErrBroken) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "content")
	if err := Folder(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func relink(t *testing.T, path string) {
	t.Helper()
	remove(t, path)
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
}
