package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// tarOf is a tar of entries, each with its size of zeros.
func tarOf(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, zeros{}, h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdOf(t testing.TB, data []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, options...)
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

// zstdWindow is a zstd frame without content that asks for a window of 2^41
// bytes. Reference: https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.2
var zstdWindow = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 31 << 3, 0x01, 0x00, 0x00}

// sparse is a tar with a file of 2^50 bytes that is one hole, in GNU's old form.
// Reference: https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html
func sparse() []byte {
	block := make([]byte, 512)
	copy(block, "hole")
	copy(block[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	copy(block[148:], "        ")
	block[156] = 'S'
	copy(block[257:], "ustar  \x00")
	number := func(at int, n uint64) {
		block[at] = 0x80
		binary.BigEndian.PutUint64(block[at+4:], n)
	}
	number(386, 1<<50) // the only piece begins at the end and is empty
	number(483, 1<<50) // the real size
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(block, make([]byte, 1024)...)
}

// Each hostile layer ends as one error, read no further than the bounds allow.
func TestHostileLayer(t *testing.T) {
	file := func(name string, size int64) *tar.Header { return &tar.Header{Name: name, Size: size} }
	bomb := tarOf(t, file("bomb", 8<<20))
	many := make([]*tar.Header, 200)
	for i := range many {
		many[i] = file(fmt.Sprint(i), 0)
	}
	damaged := tarOf(t, file("x", 1))
	copy(damaged[124:], "-0000000001\x00")
	tests := map[string]struct {
		layer []byte
		err   string // "": none
	}{
		"a fair one":                     {tarOf(t, file("etc/motd", 1000)), ""},
		"a fair one, gzip":               {gzipped(t, tarOf(t, file("etc/motd", 1000))), ""},
		"a fair one, zstd":               {zstdOf(t, tarOf(t, file("etc/motd", 1000))), ""},
		"an empty one":                   {nil, ""},
		"too large, plain":               {bomb, "unpacks to more than 4 MiB"},
		"a gzip bomb":                    {gzipped(t, bomb), "unpacks to more than 4 MiB"},
		"a zstd bomb":                    {zstdOf(t, bomb), "unpacks to more than 4 MiB"},
		"a bomb after the tar's end":     {gzipped(t, append(tarOf(t), make([]byte, 8<<20)...)), "unpacks to more than 4 MiB"},
		"a gzip bomb in many members":    {bytes.Repeat(gzipped(t, make([]byte, 1<<20)), 8), "unpacks to more than 4 MiB"},
		"a zstd window of terabytes":     {zstdWindow, "window size exceeded"},
		"a zstd window of 256 MiB":       {zstdOf(t, bomb, zstd.WithWindowSize(256<<20), zstd.WithSingleSegment(false)), "window size exceeded"},
		"a hole of a petabyte":           {sparse(), "unpacks to more than 4 MiB"},
		"too many entries":               {tarOf(t, many...), "more than 100 entries"},
		"a name of 5000 bytes":           {tarOf(t, file(strings.Repeat("x", 5000), 0)), "a path of 5000 bytes"},
		"a link to 5000 bytes":           {tarOf(t, &tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: strings.Repeat("x", 5000)}), "a path of 5000 bytes"},
		"1000 directories":               {tarOf(t, file(strings.Repeat("d/", 1000)+"x", 0)), "a path of 1000 directories"},
		"a negative size":                {damaged, "reading the layer"},
		"not a tar":                      {bytes.Repeat([]byte("x"), 10_000), "reading the layer"},
		"cut off":                        {gzipped(t, tarOf(t, file("x", 1000)))[:40], "unexpected EOF"},
		"a wrong checksum":               {append(gzipped(t, tarOf(t))[:20], bytes.Repeat([]byte("x"), 20)...), "corrupt input"},
		"an extended header of 16 MiB":   {paxBomb(), "reading the layer"},
		"an extended header, compressed": {gzipped(t, paxBomb()), "reading the layer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := bounds{bytes: 4 << 20, entries: 100}.withDefaults()
			err := b.check(t.Context(), bytes.NewReader(test.layer))
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
	t.Logf("%d layers, %d of them hostile", len(tests), len(tests)-4)
}

// paxBomb is a tar with an extended header that is larger than anything needs.
func paxBomb() []byte {
	block := make([]byte, 512)
	copy(block, "pax")
	copy(block[100:], "0000644\x000000000\x000000000\x0000100000000\x0000000000000\x00")
	copy(block[148:], "        ")
	block[156] = 'x'
	copy(block[257:], "ustar\x0000")
	sum := 0
	for _, c := range block {
		sum += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(block, bytes.Repeat([]byte("x"), 2<<20)...)
}

// The bound is that of all layers together, and that of the disk.
func TestHostileLayersTogether(t *testing.T) {
	layer := tarOf(t, &tar.Header{Name: "x", Size: 1 << 20})
	b := bounds{bytes: 4 << 20}.withDefaults()
	var err error
	n := 0
	for ; err == nil && n < 10; n++ {
		err = b.check(t.Context(), bytes.NewReader(layer))
	}
	if n != 4 || !errors.Is(err, errTooMuch) {
		t.Errorf("layer %d of a MiB: %v", n, err)
	}
	b = bounds{room: 1 << 20}.withDefaults()
	if err := b.check(t.Context(), bytes.NewReader(layer)); err == nil || !strings.Contains(err.Error(), "1 MiB that the disk has") {
		t.Errorf("a full disk: %v", err)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := bounds{}.withDefaults()
	if err := b.check(ctx, bytes.NewReader(tarOf(t))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzLayer(f *testing.F) {
	plain := tarOf(f, &tar.Header{Name: "etc/motd", Size: 10}, &tar.Header{Name: "etc/.wh.x"},
		&tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"},
		&tar.Header{Name: "x", PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}})
	for _, seed := range [][]byte{nil, plain, gzipped(f, plain), zstdOf(f, plain), sparse(), zstdWindow, paxBomb()[:2048]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, layer []byte) {
		b := bounds{bytes: 1 << 20, entries: 100, window: 1 << 20}.withDefaults()
		if err := b.check(t.Context(), bytes.NewReader(layer)); err == nil && b.unpacked > b.bytes {
			t.Errorf("%d bytes passed", b.unpacked)
		}
	})
}

// What the kernel shows of mounts and processes holds names that a container
// chose.
func FuzzProc(f *testing.F) {
	f.Add("30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n", "CapEff:\t000001ffffffffff\n")
	f.Add("31 24 0:27 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,memory\n", "CapEff:\n")
	f.Add(" - \n", "")
	name := filepath.Join(f.TempDir(), "mountinfo")
	f.Fuzz(func(t *testing.T, mountinfo, status string) {
		if err := os.WriteFile(name, []byte(mountinfo), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = cgroupMountsIn(name)
		_, _ = canEnterOthers(status)
	})
}

// FuzzMentions searches any layer for a file.
func FuzzMentions(f *testing.F) {
	f.Add(tarOf(f, &tar.Header{Name: "etc/.wh.motd"}, &tar.Header{Name: "etc/.wh..wh..opq"}), "etc/motd")
	f.Add(tarOf(f, &tar.Header{Typeflag: tar.TypeDir, Name: "etc/"}, &tar.Header{Name: "./etc/motd"}), "etc/motd")
	f.Add([]byte("x"), "")
	f.Fuzz(func(t *testing.T, layer []byte, name string) {
		_, _ = mentionsIn(bytes.NewReader(layer), name)
	})
}

// TestPunch: holes are made only in what reads as zeros, beneath the directory
// that a layer was unpacked to, whatever a hostile layer left there.
func TestPunch(t *testing.T) {
	const size = 2 << 20
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	zeros, ones := make([]byte, size), bytes.Repeat([]byte{1}, size)
	when := time.Unix(1234567890, 0)
	put := func(path string, content []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, content, 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	put(outside, zeros)
	put(in("zeros"), zeros)
	put(in("other"), ones)
	put(in("shorter"), zeros[1:])
	put(in("file"), nil)
	err := errors.Join(os.Symlink(outside, in("link")), os.Symlink("../../../../../../../../../.."+outside, in("way out")),
		unix.Mkfifo(in("pipe"), 0o600), os.Mkdir(in("directory"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, name := range []string{"zeros", "other", "shorter", "link", "way out", "pipe", "directory", "gone", "file/below", "../outside"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := bounds{}.withDefaults()
	if err := b.check(t.Context(), &layer); err != nil {
		t.Fatal(err)
	}
	if err := b.punch(t.Context(), []mount.Mount{{Type: "overlay", Options: []string{"lowerdir=/nowhere", "upperdir=" + dir}}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		content []byte
		holes   bool
	}{in("zeros"): {zeros, true}, in("other"): {ones, false}, in("shorter"): {zeros[1:], false}, outside: {zeros, false}} {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, want.content) {
			t.Errorf("%s: the content changed, %v", path, err)
		}
		if holes := st.Blocks*512 < st.Size; holes != want.holes {
			t.Errorf("%s: holes %v", path, holes)
		}
		if st.Mtim.Sec != when.Unix() {
			t.Errorf("%s: the time changed", path)
		}
	}
}
