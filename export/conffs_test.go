package export

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// stream returns a diff that writes a tar of these entries; content is random,
// as what does not compress is.
func stream(t *testing.T, entries ...tar.Header) ([]byte, func(context.Context, io.Writer) error) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	random := rand.NewChaCha8([32]byte{})
	for _, h := range entries {
		h.Format = tar.FormatPAX
		must(t, w.WriteHeader(&h))
		_, err := io.CopyN(w, random, h.Size)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes(), func(_ context.Context, w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	}
}

func file(name string, size int64) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o644}
}
func directory(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}
func deletion(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeChar} }

func TestConffs(t *testing.T) {
	out := filepath.Join(t.TempDir(), "conffs-web01.tgz")
	want, diff := stream(t, directory("./"), directory("etc/"), file("etc/hostname", 6), file("etc/big", 7000),
		deletion("etc/issue"), tar.Header{Name: "etc/link", Typeflag: tar.TypeSymlink, Linkname: "big"}, directory("usr/lib/modules/"))
	report, err := Conffs(t.Context(), out, diff, ConffsOptions{})
	must(t, err)

	f, err := os.Open(out)
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	got, err := io.ReadAll(z)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the archive unpacks to %d bytes, not the %d of the stream", len(got), len(want))
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("the header has the date %v and the name %q", z.ModTime, z.Name)
	}
	packed, err := os.ReadFile(out)
	must(t, err)
	wantReport := ConffsReport{
		Path: out, Size: int64(len(packed)), Digest: digest.FromBytes(packed), Content: 7006, Memory: 12288, Files: 3, Deleted: 1,
		Largest: []SizedFile{{"etc/big", 8192}, {"etc/hostname", 4096}, {"etc/link", 0}},
	}
	if diff := cmp.Diff(wantReport, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	again, err := Conffs(t.Context(), out, diff, ConffsOptions{})
	must(t, err)
	if again.Digest != report.Digest {
		t.Error("the same stream gives other bytes")
	}
}

func TestConffsEmpty(t *testing.T) {
	var log bytes.Buffer
	_, diff := stream(t, directory("./"))
	report, err := Conffs(t.Context(), filepath.Join(t.TempDir(), "out"), diff, ConffsOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	if !report.Empty || !strings.Contains(log.String(), "WARN") {
		t.Errorf("empty %v, log %q; want a warning", report.Empty, &log)
	}
}

// TestConffsOfOwnFiles: what every host has makes no difference.
func TestConffsOfOwnFiles(t *testing.T) {
	own := []string{"imginfo", "etc/ssh/ssh_host_*_key"}
	host := []tar.Header{directory("./"), file("imginfo", 10), directory("etc/"), directory("etc/ssh/"), file("etc/ssh/ssh_host_rsa_key", 20)}
	for name, tt := range map[string]struct {
		more  []tar.Header
		empty bool
	}{
		"nothing else":                {nil, true},
		"a file":                      {[]tar.Header{file("etc/motd", 1)}, false},
		"a file beside them":          {[]tar.Header{file("etc/ssh/sshd_config", 1)}, false},
		"a deletion":                  {[]tar.Header{deletion("etc/motd")}, false},
		"a directory that leads away": {[]tar.Header{directory("srv/")}, false},
	} {
		_, diff := stream(t, append(slices.Clone(host), tt.more...)...)
		report, err := Conffs(t.Context(), filepath.Join(t.TempDir(), "out"), diff, ConffsOptions{Own: own})
		must(t, err)
		if report.Empty != tt.empty {
			t.Errorf("%s: empty is %v, want %v", name, report.Empty, tt.empty)
		}
	}
}

func TestConffsRefuses(t *testing.T) {
	var many []tar.Header
	for i := range 15 {
		many = append(many, file(fmt.Sprintf("opt/f%02d", i), int64(1000+i*4096)))
	}
	var devices []tar.Header
	for i := range 5000 {
		devices = append(devices, deletion(fmt.Sprintf("opt/%x", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))))
	}
	tests := map[string]struct {
		entries []tar.Header
		want    []string
	}{
		"too large":             {many, []string{"take 480 KiB of the machine's memory", "(9.8 KiB)", `"opt/f14" (60 KiB)`, `"opt/f05" (`, "conffs_exclude"}},
		"archive too large":     {devices, []string{"the archive has ", "(9.8 KiB)"}},
		"module":                {[]tar.Header{file("usr/lib/modules/6.1/kernel/a.ko", 1)}, []string{"kernel modules", `"usr/lib/modules/6.1/kernel/a.ko"`}},
		"module on an old root": {[]tar.Header{file("./lib/modules/6.1/modules.dep", 1)}, []string{"kernel modules"}},
		"module deleted":        {[]tar.Header{deletion("usr/lib/modules/6.1/kernel/a.ko")}, []string{"kernel modules"}},
		"whiteout of a layer":   {[]tar.Header{file("etc/.wh.issue", 0)}, []string{`"etc/.wh.issue"`}},
		"outside":               {[]tar.Header{file("../etc/shadow", 0)}, []string{`"../etc/shadow"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, diff := stream(t, test.entries...)
			_, err := Conffs(t.Context(), filepath.Join(dir, "out"), diff, ConffsOptions{MaxSize: 10_000})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one that says %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "opt/f04") {
				t.Errorf("error %v names more than the ten largest", err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("left %v, %v", entries, err)
			}
		})
	}
}

func TestConffsFailures(t *testing.T) {
	broken := errors.New("a layer is gone")
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	must(t, os.WriteFile(out, []byte("of the run before"), 0o644))
	_, whole := stream(t, file("etc/hostname", 6))
	for name, diff := range map[string]func(context.Context, io.Writer) error{
		"at once":       func(context.Context, io.Writer) error { return broken },
		"after a while": func(ctx context.Context, w io.Writer) error { return errors.Join(whole(ctx, w), broken) },
	} {
		if _, err := Conffs(t.Context(), out, diff, ConffsOptions{}); !errors.Is(err, broken) {
			t.Errorf("%s: error %v, want the diff's", name, err)
		}
	}
	noTar := func(_ context.Context, w io.Writer) error {
		_, err := w.Write(bytes.Repeat([]byte("no tar "), 1000))
		return err
	}
	if _, err := Conffs(t.Context(), out, noTar, ConffsOptions{}); !errors.Is(err, tar.ErrHeader) {
		t.Errorf("no tar: error %v", err)
	}
	cut, _ := stream(t, file("etc/hostname", 6000))
	cutShort := func(_ context.Context, w io.Writer) error { _, err := w.Write(cut[:2000]); return err }
	if _, err := Conffs(t.Context(), out, cutShort, ConffsOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream that ends early: error %v", err)
	}
	wantOnly(t, dir, "of the run before")
}
