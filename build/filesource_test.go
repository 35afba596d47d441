package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"vauban/config"
)

func smallTar(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "etc/", Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(t testing.TB, how string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	default:
		return data
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPlainTar(t *testing.T) {
	want := smallTar(t)
	for _, how := range []string{"plain", "gzip", "xz", "zstd"} {
		r, err := plainTar(bytes.NewReader(compressed(t, how, want)))
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d", how, len(got), err, len(want))
		}
		// Half a file is no root filesystem.
		if how != "plain" {
			data := compressed(t, how, bytes.Repeat(want, 300))
			r, err := plainTar(bytes.NewReader(data[:len(data)/2]))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if err == nil {
				t.Errorf("%s: a file that was cut is read as if it were whole", how)
			}
		}
	}
	for name, data := range map[string]string{
		"a qcow2 image": "QFI\xfb" + strings.Repeat("\x00", 600),
		"a raw image":   strings.Repeat("\x00", 600),
	} {
		if _, err := plainTar(strings.NewReader(data)); !errors.Is(err, errMaybeDisk) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte(strings.Repeat("text\n", 200)), "compressed text": compressed(t, "gzip", []byte("text")),
		"broken gzip": []byte("\x1f\x8bxxxx"), "broken xz": []byte("\xfd7zXZ\x00xxxx"), "broken zstd": []byte("\x28\xb5\x2f\xfdxx"),
	} {
		if _, err := plainTar(bytes.NewReader(data)); err == nil {
			t.Errorf("%s is read as a tar", name)
		}
	}
}

func FuzzPlainTar(f *testing.F) {
	for _, how := range []string{"plain", "gzip", "xz", "zstd"} {
		f.Add(compressed(f, how, smallTar(f)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := plainTar(bytes.NewReader(data))
		if err != nil {
			return
		}
		head := make([]byte, tarAt+len(tarMagic))
		if _, err := io.ReadFull(r, head); err != nil || string(head[tarAt:]) != tarMagic {
			t.Errorf("what is taken for a tar begins with %q, %v", head, err)
		}
	})
}

func TestVerifyFile(t *testing.T) {
	dir := t.TempDir()
	content := smallTar(t)
	path := filepath.Join(dir, "root.tar")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(content)
	list := "00  other.tar\n" + hex.EncodeToString(sum[:]) + " *./root.tar\n"
	if err := os.WriteFile(filepath.Join(dir, "SUMS"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	for _, tt := range []struct {
		name string
		base config.Base
		err  string
	}{
		{name: "unchecked"},
		{name: "a list here", base: config.Base{SHA512Sums: "SUMS"}},
		{name: "a list elsewhere", base: config.Base{SHA512Sums: server.URL + "/SUMS"}},
		{name: "no list", base: config.Base{SHA512Sums: "NONE"}, err: "no such file"},
		{name: "no list elsewhere", base: config.Base{SHA512Sums: server.URL + "/NONE"}, err: "404"},
		{name: "another digest", base: config.Base{SHA256: strings.Repeat("0", 64)}, err: "its digest is"},
		{name: "both, one wrong", base: config.Base{SHA256: strings.Repeat("0", 64), SHA512Sums: "SUMS"}, err: "its digest is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &Runner{Options: Options{Config: &config.Config{Path: "config.yml", Dir: dir}}}
			tt.base.Source = config.Source{Kind: config.File, Value: "root.tar"}
			in, err := r.file(t.Context(), &tt.base)
			if tt.err != "" || err != nil {
				if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			defer in.Close()
			if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, content) {
				t.Errorf("it reads %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestFindSum(t *testing.T) {
	good := strings.Repeat("aB", 64)
	for list, want := range map[string]string{
		good + "  f":                     strings.ToLower(good),
		"\n" + good + " *f\r\n":          strings.ToLower(good),
		good + "  ./f\n":                 strings.ToLower(good),
		good + "  dir/f\n":               "",
		good + "  ff\n":                  "",
		"aa  f\n":                        "",
		"f\n":                            "",
		strings.Repeat("xy", 64) + "  f": "",
	} {
		if got, err := findSum([]byte(list), "f"); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", list, got, err, want)
		}
	}
}
