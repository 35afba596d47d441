package beneath

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/internal/hostile"
)

// TestReplace puts a file where each hostile thing is: nothing is written into
// what was there.
func TestReplace(t *testing.T) {
	top := t.TempDir()
	write(t, top, "secret", hostile.Secret)
	for _, k := range hostile.Kinds(filepath.Join(top, "secret")) {
		root := filepath.Join(top, k.Name)
		if err := hostile.Plant(root, "etc/hosts", k); err != nil {
			t.Fatal(err)
		}
		info, err := Replace(root, "/etc/hosts", []byte("ours"), 0o640)
		if k.Name == "directory" {
			if err == nil {
				t.Error("a directory with something in it was replaced")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
			continue
		}
		path := filepath.Join(root, "etc/hosts")
		content, err := os.ReadFile(path)
		if now, statErr := os.Lstat(path); err != nil || statErr != nil || string(content) != "ours" || !os.SameFile(info, now) || now.Mode() != 0o640 {
			t.Errorf("%s: %q, %v, %v, %v", k.Name, content, now, err, statErr)
		}
	}
	if content, err := os.ReadFile(filepath.Join(top, "secret")); err != nil || string(content) != hostile.Secret {
		t.Errorf("a file outside was written: %q, %v", content, err)
	}
}

func TestReplaceParents(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	write(t, root, "usr/share/x", "")
	symlink(t, root, "etc", "/usr/share")
	symlink(t, root, "out", "../../../../../../../..")
	symlink(t, root, "dangling", "/nowhere")
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"etc/a/b": "usr/share/a/b", "out/c": "c", "d/e/f": "d/e/f"} {
		if _, err := Replace(root, name, []byte(name), 0o644); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if content, err := os.ReadFile(filepath.Join(root, want)); err != nil || string(content) != name {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	write(t, root, "full/file", "")
	for _, name := range []string{"fifo/a", "dangling/a", "full"} {
		if _, err := Replace(root, name, nil, 0o644); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}
