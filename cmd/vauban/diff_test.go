package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/internal/beneath"
)

func TestChangesIn(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"etc/motd": "a\nb\n", "etc/gone": "x\n", "etc/shadow": "old\n", "bin/tool": "\x00a", "etc/plain": "x\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/run/away", filepath.Join(dir, "etc/link.d")); err != nil {
		t.Fatal(err)
	}
	root, err := beneath.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	own := func(h tar.Header) *tar.Header { h.Uid, h.Gid = os.Getuid(), os.Getgid(); return &h }
	var difference bytes.Buffer
	w := tar.NewWriter(&difference)
	for _, e := range []struct {
		h    *tar.Header
		text string
	}{
		{own(tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}), ""},
		{own(tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o700}), ""},
		{own(tar.Header{Name: "bin/tool", Typeflag: tar.TypeReg, Mode: 0o755}), "\x00b"},
		{own(tar.Header{Name: "etc/gone", Typeflag: tar.TypeChar}), ""},
		{own(tar.Header{Name: "etc/hostname", Typeflag: tar.TypeReg, Mode: 0o644}), "web01\n"},
		{own(tar.Header{Name: "etc/link", Typeflag: tar.TypeSymlink, Linkname: "motd", Mode: 0o777}), ""},
		{own(tar.Header{Name: "etc/link.d/", Typeflag: tar.TypeDir, Mode: 0o755}), ""},
		{own(tar.Header{Name: "etc/link.d/new", Typeflag: tar.TypeReg, Mode: 0o600}), ""},
		{own(tar.Header{Name: "etc/plain/", Typeflag: tar.TypeDir, Mode: 0o755}), ""},
		{own(tar.Header{Name: "etc/plain/new", Typeflag: tar.TypeReg, Mode: 0o600}), ""},
		{own(tar.Header{Name: "etc/motd", Typeflag: tar.TypeReg, Mode: 0o644}), "a\nc\n"},
		{own(tar.Header{Name: "etc/shadow", Typeflag: tar.TypeReg, Mode: 0o640}), "secret\n"},
	} {
		e.h.Size = int64(len(e.text))
		if err := w.WriteHeader(e.h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := changesIn(t.Context(), root, &difference)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printChanges(&out, "text", all); err != nil {
		t.Fatal(err)
	}
	want := `changed  /bin drwx------
changed  /bin/tool -rwxr-xr-x
deleted  /etc/gone
added    /etc/hostname -rw-r--r--
--- /dev/null
+++ host/etc/hostname
@@ -0,0 +1 @@
+web01
added    /etc/link Lrwxrwxrwx
changed  /etc/link.d drwxr-xr-x
added    /etc/link.d/new -rw-------
changed  /etc/plain drwxr-xr-x
added    /etc/plain/new -rw-------
changed  /etc/motd -rw-r--r--
--- master/etc/motd
+++ host/etc/motd
@@ -1,2 +1,2 @@
 a
-b
+c
changed  /etc/shadow -rw-r-----
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
