package diff

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// awkward are names and targets that tars have trouble with.
var awkward = []string{
	"new\nline", "\xff\xfe", "ünïcode", "tab\tand space ", "-dash", "back\\slash", "trailing.", "%=",
	strings.Repeat("é", 120), strings.Repeat("n", 255),
}

// entries reads a tar back, without the parts that differ between machines.
func entries(t *testing.T, raw []byte) map[string]*tar.Header {
	t.Helper()
	found := make(map[string]*tar.Header)
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		if found[h.Name] != nil {
			t.Errorf("%q is there twice", h.Name)
		}
		found[h.Name] = h
	}
}

func order(t *testing.T, raw []byte) (names []string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(raw))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return names
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

// must stops the test when its set-up fails.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeLayer(t *testing.T, upper string, o LayerOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := WriteLayer(t.Context(), &b, upper, o)
	must(t, err)
	return b.Bytes()
}

func TestWriteLayerNames(t *testing.T) {
	const last = "\xff\xff " // sorts a link behind its target
	upper := t.TempDir()
	for _, name := range awkward {
		must(t, os.WriteFile(filepath.Join(upper, name), []byte(name), 0o644))
		must(t, os.Mkdir(filepath.Join(upper, "dir "+name[:min(len(name), 200)]), 0o755))
		must(t, os.Symlink(name, filepath.Join(upper, "to "+name[:min(len(name), 200)])))
		must(t, os.Link(filepath.Join(upper, name), filepath.Join(upper, last+name[:min(len(name), 200)])))
	}
	got := entries(t, writeLayer(t, upper, LayerOptions{}))
	for _, name := range awkward {
		short := name[:min(len(name), 200)]
		for path, want := range map[string]byte{name: tar.TypeReg, "dir " + short + "/": tar.TypeDir, "to " + short: tar.TypeSymlink, last + short: tar.TypeLink} {
			h := got[path]
			if h == nil {
				t.Errorf("%q is missing", path)
				continue
			}
			if h.Typeflag != want {
				t.Errorf("%q is a %q, want a %q", path, h.Typeflag, want)
			}
			if target := map[byte]string{tar.TypeSymlink: name, tar.TypeLink: name}[want]; h.Linkname != target {
				t.Errorf("%q leads to %q, want %q", path, h.Linkname, target)
			}
		}
	}
}

func TestWriteLayerHeaders(t *testing.T) {
	upper := t.TempDir()
	path := filepath.Join(upper, "file")
	must(t, os.WriteFile(path, []byte("content"), 0o644))
	must(t, os.Chmod(path, 0o644|os.ModeSetuid))
	must(t, os.Chtimes(path, time.Unix(5, 0), time.Unix(1_000_000_000, 987_654_321)))
	h := entries(t, writeLayer(t, upper, LayerOptions{}))["file"]
	if h.Mode != 0o4644 || h.Uid != os.Getuid() || h.Gid != os.Getgid() || h.Size != 7 {
		t.Errorf("mode %o, owner %d:%d, size %d", h.Mode, h.Uid, h.Gid, h.Size)
	}
	if !h.ModTime.Equal(time.Unix(1_000_000_000, 0)) {
		t.Errorf("mtime %v, want whole seconds", h.ModTime)
	}
	if h.Uname != "" || h.Gname != "" || !h.AccessTime.IsZero() || !h.ChangeTime.IsZero() {
		t.Errorf("names %q:%q, atime %v, ctime %v: all differ between machines", h.Uname, h.Gname, h.AccessTime, h.ChangeTime)
	}
}

func TestWriteLayerOrder(t *testing.T) {
	upper := t.TempDir()
	for _, dir := range []string{"b", "b.d", "a/z"} {
		must(t, os.MkdirAll(filepath.Join(upper, dir), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(upper, "b/f"), nil, 0o644))
	must(t, unix.Mknod(filepath.Join(upper, "b/gone"), unix.S_IFCHR, 0))
	must(t, unix.Mknod(filepath.Join(upper, "gone"), unix.S_IFCHR, 0))
	raw := writeLayer(t, upper, LayerOptions{})
	if diff := cmp.Diff([]string{"a/", "a/z/", "b/", "b/f", "b/.wh.gone", "b.d/", ".wh.gone"}, order(t, raw)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if !bytes.Equal(raw, writeLayer(t, upper, LayerOptions{})) {
		t.Error("the same directory has another layer")
	}
}

func TestWriteLayerOfNothingIsTheEmptyTar(t *testing.T) {
	upper := t.TempDir()
	must(t, os.Chmod(upper, 0o755))
	if os.Getuid() == 0 {
		if raw := writeLayer(t, upper, LayerOptions{}); !bytes.Equal(raw, make([]byte, 1024)) {
			t.Errorf("the layer has %d bytes, %v", len(raw), order(t, raw))
		}
	}
	must(t, os.Chmod(upper, 0o711))
	if h := entries(t, writeLayer(t, upper, LayerOptions{}))["./"]; h == nil || h.Mode != 0o711 {
		t.Errorf("the mode of the root directory is lost: %v", h)
	}
}

func TestWriteLayerRefuses(t *testing.T) {
	cases := map[string]struct {
		make func(path string) error
		want string
	}{
		"etc/.wh.file": {func(path string) error { return os.WriteFile(path, nil, 0o644) }, "deletion"},
		"etc/.wh.dir":  {func(path string) error { return os.Mkdir(path, 0o755) }, "deletion"},
		"etc/socket":   {listen, "socket"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			upper, err := os.MkdirTemp("", "diff") // a socket's path must be short
			must(t, err)
			defer os.RemoveAll(upper)
			must(t, os.Mkdir(filepath.Join(upper, "etc"), 0o755))
			must(t, c.make(filepath.Join(upper, name)))
			_, err = WriteLayer(t.Context(), io.Discard, upper, LayerOptions{})
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that names %q and says %q", err, name, c.want)
			}
		})
	}
}

func listen(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

// onWrite calls a function before each write.
type onWrite struct {
	io.Writer
	call func()
}

func (w onWrite) Write(p []byte) (int, error) {
	w.call()
	return w.Writer.Write(p)
}

func TestWriteLayerOfAFileThatShrinks(t *testing.T) {
	upper := t.TempDir()
	path := filepath.Join(upper, "file")
	must(t, os.WriteFile(path, make([]byte, 4<<20), 0o644))
	w := onWrite{io.Discard, func() { os.Truncate(path, 1000) }}
	if _, err := WriteLayer(t.Context(), w, upper, LayerOptions{}); !errors.Is(err, errChanged) || !strings.Contains(err.Error(), `"file"`) {
		t.Errorf("error %v, want that %q changed", err, "file")
	}
}

func TestWriteLayerStops(t *testing.T) {
	upper := t.TempDir()
	must(t, os.WriteFile(filepath.Join(upper, "file"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(upper, "file"), 1<<40))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := WriteLayer(ctx, onWrite{io.Discard, cancel}, upper, LayerOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want a cancelled context", err)
	}
}

func TestWriteLayerOfSparseFiles(t *testing.T) {
	upper := t.TempDir()
	f, err := os.Create(filepath.Join(upper, "file"))
	must(t, err)
	want := make([]byte, 3<<20+5)
	for _, offset := range []int{0, 1 << 20, 2<<20 - 3, len(want) - 1} {
		want[offset] = 'x'
		_, err := f.WriteAt([]byte("x"), int64(offset))
		must(t, err)
	}
	must(t, f.Close())
	r := tar.NewReader(bytes.NewReader(writeLayer(t, upper, LayerOptions{})))
	for {
		h, err := r.Next()
		must(t, err)
		if h.Name == "file" {
			break
		}
	}
	got, err := io.ReadAll(r)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the content differs")
	}
}

// TestWriteLayerOfLargeFiles reads only the header of a size that needs an
// extension.
func TestWriteLayerOfLargeFiles(t *testing.T) {
	upper := t.TempDir()
	must(t, os.Chmod(upper, 0o755))
	const size = 1<<33 + 1
	must(t, os.WriteFile(filepath.Join(upper, "file"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(upper, "file"), size))
	r, w := io.Pipe()
	go func() {
		_, err := WriteLayer(context.Background(), w, upper, LayerOptions{})
		w.CloseWithError(err)
	}()
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		must(t, err)
		if h.Name == "file" {
			if h.Size != size {
				t.Errorf("size %d, want %d", h.Size, size)
			}
			return
		}
	}
}

// allocated measures the memory that a function asks for, in bytes, whether
// it is freed or not.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestMemoryIsBounded(t *testing.T) {
	const size, limit = 256 << 20, 4 << 20
	upper := t.TempDir()
	must(t, os.WriteFile(filepath.Join(upper, "file"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(upper, "file"), size))
	layer := func(w io.Writer) error {
		_, err := WriteLayer(context.Background(), w, upper, LayerOptions{})
		return err
	}
	if n := allocated(func() { must(t, layer(io.Discard)) }); n > limit {
		t.Errorf("WriteLayer asks for %d bytes for a file of %d", n, size)
	}
	open := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(layer(w)) }()
		return r, nil
	}
	root := t.TempDir()
	n := allocated(func() {
		_, err := Merge(t.Context(), io.Discard, root, []Open{open}, MergeOptions{})
		must(t, err)
	})
	if n > limit {
		t.Errorf("Merge asks for %d bytes for a file of %d", n, size)
	}
}
