package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// conffsOf is a release whose one host has conffs with these entries.
func conffsOf(t *testing.T, entries ...tar.Header) *Published {
	t.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	archive := tar.NewWriter(packed)
	for _, h := range entries {
		must(t, archive.WriteHeader(&h))
		_, err := archive.Write(bytes.Repeat([]byte("x"), int(h.Size)))
		must(t, err)
	}
	must(t, archive.Close())
	must(t, packed.Close())
	r := built(t, first, "one", "web01")
	must(t, os.WriteFile(r.Conffs["web01"].Path, b.Bytes(), 0o600))
	return mustPublish(t, t.TempDir(), r)
}

// Only small regular files are read, and what has changed since it was
// published is not.
func TestConffsFiles(t *testing.T) {
	regular := func(name string, size int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size}
	}
	p := conffsOf(t, regular("etc/motd", 3), regular("./etc/machine-id", 4), regular("etc/large", maxDeployedFile+1),
		tar.Header{Typeflag: tar.TypeSymlink, Name: "etc/link", Linkname: "/etc/shadow"}, regular("etc/late", 5))
	got, err := p.ConffsFiles(t.Context(), "web01", "etc/machine-id", "etc/large", "etc/link", "etc/late", "etc/none")
	must(t, err)
	if diff := cmp.Diff(map[string][]byte{"etc/machine-id": []byte("xxxx"), "etc/late": []byte("xxxxx")}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if got, err := p.ConffsFiles(t.Context(), "web02", "etc/motd"); got != nil || err != nil {
		t.Errorf("a host without conffs: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.ConffsFiles(ctx, "web01", "etc/motd"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	path := filepath.Join(p.Dir, "conffs-web01.tgz")
	content, err := os.ReadFile(path)
	must(t, err)
	content[len(content)/2] ^= 1
	for name, spoil := range map[string]func() error{
		"a flipped bit": func() error { return os.WriteFile(path, content, 0o600) },
		"a short file":  func() error { return os.WriteFile(path, content[1:], 0o600) },
		"a folder":      func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		must(t, os.RemoveAll(path))
		if name == "a folder" {
			must(t, os.WriteFile(path, nil, 0o600))
		}
		must(t, spoil())
		if _, err := p.ConffsFiles(t.Context(), "web01", "etc/motd"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Of conffs that anyone wrote, only small files of the names that are asked for
// are read.
func FuzzTarFiles(f *testing.F) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	archive := tar.NewWriter(z)
	for _, name := range []string{"./etc/machine-id", "etc/other"} {
		archive.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: 0o644})
		archive.Write([]byte("x"))
	}
	archive.Close()
	z.Close()
	f.Add(packed.Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := tarFiles(t.Context(), bytes.NewReader(data), []string{"etc/machine-id"})
		for name, content := range files {
			if name != "etc/machine-id" || len(content) > maxDeployedFile {
				t.Errorf("%q has %d bytes (%v)", name, len(content), err)
			}
		}
	})
}
