package bases

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

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

// tarIn is the tar that openRoot takes from a file, without disk images.
func tarIn(data []byte) ([]byte, bool, error) {
	in, _, err := decompressed(bytes.NewReader(data))
	if err != nil {
		return nil, false, err
	}
	head, err := in.Peek(tarBlock)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	tells := isTar(head)
	all, err := io.ReadAll(in)
	return all, tells, err
}

func TestTars(t *testing.T) {
	want := smallTar(t)
	for _, how := range []string{"plain", "gzip", "xz", "zstd"} {
		if got, isTar, err := tarIn(compressed(t, how, want)); err != nil || !isTar || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, %v, want %d", how, len(got), isTar, err, len(want))
		}
		// Half a file is not a root filesystem.
		data := compressed(t, how, bytes.Repeat(want, 300))
		if _, _, err := tarIn(data[:len(data)/2]); err == nil && how != "plain" {
			t.Errorf("%s: a file that was cut is read as if it were whole", how)
		}
	}
	for name, data := range map[string]string{
		"nothing": "", "text": strings.Repeat("text\n", 200), "a qcow2 image": "QFI\xfb" + strings.Repeat("\x00", 600),
		"compressed text": string(compressed(t, "gzip", []byte("text"))),
	} {
		if _, isTar, err := tarIn([]byte(data)); isTar || err != nil {
			t.Errorf("%s is read as a tar: %v, %v", name, isTar, err)
		}
	}
	for _, data := range []string{"\x1f\x8bxxxx", "\xfd7zXZ\x00xxxx", "\x28\xb5\x2f\xfdxx"} {
		if _, _, err := tarIn([]byte(data)); err == nil {
			t.Errorf("%q is decompressed", data)
		}
	}
}

func FuzzTars(f *testing.F) {
	for _, how := range []string{"plain", "gzip", "xz", "zstd"} {
		f.Add(compressed(f, how, smallTar(f)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, _, err := decompressed(bytes.NewReader(data))
		if err != nil {
			return
		}
		head, _ := in.Peek(tarBlock)
		if isTar(head) && string(head[tarAt:tarAt+len(tarMagic)]) != tarMagic {
			t.Errorf("what is taken for a tar begins with %q", head)
		}
		if isTar(head) {
			isDisk(head)
		}
	})
}

// What is mostly zeros takes no room, and is the same; half of it is an error.
func TestUnpackDisk(t *testing.T) {
	const size = 8 << 20
	disk := make([]byte, size)
	copy(disk[3<<20:], "in the middle")
	copy(disk[size-7:], "the end")
	for _, want := range [][]byte{disk, disk[:size-100], {}} { // one ends with zeros
		path := filepath.Join(t.TempDir(), "disk")
		in, _, err := decompressed(bytes.NewReader(compressed(t, "gzip", want)))
		if err != nil {
			t.Fatal(err)
		}
		if err := unpackDisk(t.Context(), path, in, 1<<40, 1<<40); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes are not those of the image, %d: %v", len(got), len(want), err)
		}
		var info unix.Stat_t
		if err := unix.Stat(path, &info); err != nil || info.Blocks*512 > 1<<20 {
			t.Errorf("it takes %d KiB on disk: %v", info.Blocks/2, err)
		}
	}
	half := compressed(t, "gzip", disk)
	in, _, err := decompressed(bytes.NewReader(half[:len(half)/2]))
	if err == nil {
		err = unpackDisk(t.Context(), filepath.Join(t.TempDir(), "disk"), in, 1<<40, 1<<40)
	}
	if err == nil {
		t.Error("half a file is unpacked as if it were whole")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := unpackDisk(ctx, filepath.Join(t.TempDir(), "disk"), bytes.NewReader(disk), 1<<40, 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// endless is a disk of the same bytes, without end.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// A disk without end ends: one of zeros, and one of data.
func TestUnpackDiskBounds(t *testing.T) {
	for name, test := range map[string]struct {
		disk       io.Reader
		size, data int64
		err        string
	}{
		"zeros": {endless(0), 1 << 30, 1 << 20, "more than 1024 GiB"},
		"data":  {endless('x'), 1 << 40, 1 << 20, "more than 64 GiB of data"},
	} {
		err := unpackDisk(t.Context(), filepath.Join(t.TempDir(), "disk"), test.disk, test.size, test.data)
		if !errors.Is(err, errDiskImage) || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: error %v, want %q", name, err, test.err)
		}
	}
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
			o := &Opener{Config: &config.Config{Path: "config.yml", Dir: dir}, StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
			tt.base.Source = config.Source{Kind: config.File, Value: "root.tar"}
			in, _, err := o.Root(t.Context(), &tt.base)
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

// A list of digests gives one, or an error.
func FuzzFindSum(f *testing.F) {
	sum := strings.Repeat("0a", 64)
	for _, seed := range []string{sum + "  disk.raw\n", sum + " *./disk.raw", "x  disk.raw", strings.ToUpper(sum) + "  disk.raw\r\n", "\n\n"} {
		f.Add([]byte(seed), "disk.raw")
	}
	f.Fuzz(func(t *testing.T, list []byte, name string) {
		if got, err := findSum(list, name); err == nil && (len(got) != 128 || strings.ToLower(got) != got) {
			t.Errorf("the digest is %q", got)
		}
	})
}
