package decompress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// compressedXZ is text in several blocks and streams, as the xz program writes it.
func compressedXZ(t testing.TB, text string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("xz", append([]string{"--stdout"}, args...)...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNewReader(t *testing.T) {
	text := strings.Repeat("what a file holds\n", 10_000)
	var zipped, stored bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, text)
	z.Close()
	s, _ := zstd.NewWriter(&stored)
	io.WriteString(s, text)
	s.Close()
	bz := exec.Command("bzip2", "--stdout")
	bz.Stdin = strings.NewReader(text)
	bzipped, err := bz.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"plain":                     {[]byte(text), text},
		"nothing":                   {nil, ""},
		"gzip":                      {zipped.Bytes(), text},
		"bzip2":                     {bzipped, text},
		"zstd":                      {stored.Bytes(), text},
		"xz":                        {compressedXZ(t, text), text},
		"xz of nothing":             {compressedXZ(t, ""), ""},
		"xz -9":                     {compressedXZ(t, text, "-9"), text},
		"xz of blocks":              {compressedXZ(t, text, "--block-size=4096", "--check=sha256"), text},
		"xz without checks":         {compressedXZ(t, text, "--block-size=5000", "--check=none"), text},
		"xz by threads":             {compressedXZ(t, text, "-T2", "--block-size=65536", "--check=crc32"), text},
		"xz of what is not smaller": {compressedXZ(t, random(300_000), "-0"), random(300_000)},
		"xz of streams, padded": {bytes.Join([][]byte{compressedXZ(t, text), make([]byte, 8),
			compressedXZ(t, text, "--block-size=9999", "--check=crc32")}, nil), text + text},
	} {
		t.Run(name, func(t *testing.T) {
			plain, isCompressed, err := NewReader(bytes.NewReader(test.file))
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			got, err := io.ReadAll(plain)
			if err != nil || string(got) != test.want {
				t.Errorf("%d bytes, error %v; want %d bytes", len(got), err, len(test.want))
			}
			if isCompressed != (name != "plain" && name != "nothing") {
				t.Errorf("compressed: %v", isCompressed)
			}
		})
	}
}

// random does not get smaller.
func random(n int) string {
	b, state := make([]byte, n), uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return string(b)
}

// withWindow changes the window that the first block of an xz file names.
func withWindow(file []byte, bits byte) []byte {
	file = bytes.Clone(file)
	header := file[xz.HeaderLen:]
	header[4] = bits // after size, flags, the filter and the size of this
	n := (int(header[0])+1)*4 - 4
	binary.LittleEndian.PutUint32(header[n:], crc32.ChecksumIEEE(header[:n]))
	return file
}

// A file that asks for more memory than there may be is refused, before it gets it.
func TestWindow(t *testing.T) {
	small := compressedXZ(t, "small")
	if plain, _, err := NewReader(bytes.NewReader(withWindow(small, 30))); err != nil { // 128 MiB
		t.Error(err)
	} else if got, err := io.ReadAll(plain); err != nil || string(got) != "small" {
		t.Errorf("read %q, %v", got, err)
	}
	second := bytes.Join([][]byte{small, withWindow(small, 40)}, nil)
	for name, file := range map[string][]byte{
		"xz, 192 MiB": withWindow(small, 31), "xz, 4 GiB": withWindow(small, 40), "xz, later": second,
		"zstd": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			plain, _, err := NewReader(bytes.NewReader(file))
			if err == nil {
				_, err = io.ReadAll(plain)
			}
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrWindow) || !strings.Contains(err.Error(), "128") {
				t.Errorf("error %v", err)
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 64<<20 {
				t.Errorf("%d bytes were taken", taken)
			}
		})
	}
}

// A file that is cut off anywhere is an error, also between two blocks, where
// the library takes it for whole.
func TestCutOff(t *testing.T) {
	file := compressedXZ(t, strings.Repeat("text ", 20), "--block-size=50")
	for n := range len(file) - 1 {
		plain, err := XZ(bytes.NewReader(file[:n+1]))
		if err == nil {
			_, err = io.ReadAll(plain)
		}
		if err == nil {
			t.Fatalf("%d of %d bytes are taken for the whole file", n+1, len(file))
		}
	}
}

// What is read never needs more than the window, and is what the library reads of
// the same file.
func FuzzNewReader(f *testing.F) {
	f.Add(compressedXZ(f, "some text, some text", "--block-size=7"))
	f.Add(append(compressedXZ(f, "a"), append(make([]byte, 4), compressedXZ(f, "b", "--check=none")...)...))
	f.Add(withWindow(compressedXZ(f, "x"), 40))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00})
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	f.Add([]byte("BZh9"))
	f.Fuzz(func(t *testing.T, file []byte) {
		plain, _, err := NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		defer plain.Close()
		got, err := io.ReadAll(io.LimitReader(plain, 1<<20))
		if err != nil || !bytes.HasPrefix(file, []byte(xzMagic)) {
			return
		}
		by, err := xz.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := io.ReadAll(io.LimitReader(by, 1<<20)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q, the library reads %q (%v)", got, want, err)
		}
	})
}
