package layers

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestMentions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []string // a slash at the end makes a directory
		want    mention
	}{
		{"nothing", []string{"etc/", "etc/hosts"}, absent},
		{"the file", []string{"etc/", "etc/motd"}, written},
		{"the file with a dot", []string{"./etc/motd"}, written},
		{"a whiteout", []string{"etc/.wh.motd"}, removed},
		{"a whiteout of another", []string{"etc/.wh.mot"}, absent},
		{"a whiteout of its directory", []string{".wh.etc"}, removed},
		{"an opaque directory", []string{"etc/", "etc/.wh..wh..opq"}, removed},
		{"an opaque directory beside", []string{"et/.wh..wh..opq"}, absent},
		{"an opaque root", []string{".wh..wh..opq"}, removed},
		{"hidden and written anew", []string{"etc/.wh..wh..opq", "etc/motd"}, written},
		{"a file in place of its directory", []string{"etc"}, removed},
		{"a directory of the same name in front", []string{"etc/"}, absent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var layer bytes.Buffer
			w := tar.NewWriter(&layer)
			for _, name := range tt.entries {
				h := &tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}
				if name[len(name)-1] == '/' {
					h.Typeflag = tar.TypeDir
				}
				if err := w.WriteHeader(h); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := mentionsIn(&layer, "etc/motd")
			if err != nil || got != tt.want {
				t.Errorf("%v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestResolveParents(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"usr/bin", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"bin": "usr/bin", "usr/bin/sh": "dash", "abs": "/etc", "out": "../../../etc", "loop": "loop", "usr/up": "../bin",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"/bin/sh": "usr/bin/sh", "bin/sh": "usr/bin/sh", "/abs/motd": "etc/motd", "/out/motd": "etc/motd",
		"/usr/up/x": "usr/bin/x", "/gone/x/y": "gone/x/y", "/../etc/../bin/a": "usr/bin/a", "/bin": "bin",
	} {
		if got, err := resolveParents(root, name); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	if got, err := resolveParents(root, "/loop/x"); err == nil {
		t.Errorf("a loop of links resolved to %q", got)
	}
}
