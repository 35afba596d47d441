package aptpool

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
)

func FuzzParseRelease(f *testing.F) {
	f.Add(recent().text())
	f.Add("Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n 00 0 a\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRelease([]byte(text))
		if err != nil {
			return
		}
		for name, one := range r.indexes {
			if one.size < 0 || strings.ContainsAny(name, " \n") {
				t.Errorf("%q: %v", name, one)
			}
		}
		_ = r.check(prefix+"InRelease", time.Now(), false)
	})
}

// FuzzInRelease replaces a part of a signed file by something else: nothing but
// what the key signed is read.
func FuzzInRelease(f *testing.F) {
	key := newKey(f)
	signed := sign(f, key, recent().text())
	f.Add(uint16(0), uint16(0), []byte("Suite: x\n"))
	f.Add(uint16(60), uint16(3), []byte("\n-----BEGIN PGP SIGNED MESSAGE-----\n"))
	f.Add(uint16(300), uint16(400), []byte{})
	f.Fuzz(func(t *testing.T, at, cut uint16, insert []byte) {
		from := min(int(at), len(signed))
		file := slices.Concat(signed[:from], insert, signed[min(from+int(cut), len(signed)):])
		r, err := readInRelease(file, openpgp.EntityList{key}, time.Now())
		if err == nil && (r.codename != "bookworm" || r.suite != "oldstable" || len(r.indexes) != 1) {
			t.Errorf("%+v is read of what was not signed: %q", r, file)
		}
	})
}

func FuzzParsePackages(f *testing.F) {
	f.Add(entry("hello", hello))
	f.Add("Package: ../evil\nVersion: 1\nArchitecture: all\nSize: 1\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		var records [][]byte
		var found []deb
		if err := parsePackages(strings.NewReader(text), func(d deb) { records, found = append(records, d.record()), append(found, d) }); err != nil {
			return
		}
		all := makeNamed(records)
		for _, d := range found {
			if filepath.Base(d.name) != d.name || !strings.HasSuffix(d.name, ".deb") || strings.HasPrefix(d.name, ".") {
				t.Errorf("%q is not a file of a folder", d.name)
			}
			if got := all.find(d.name); len(got) == 0 {
				t.Errorf("%q is not found", d.name)
			}
			if _, name, ok := splitPooled(pooledName(d)); !ok || name != d.name {
				t.Errorf("%q is pooled as %q", d.name, pooledName(d))
			}
		}
	})
}

// FuzzUnpack reads compressed lists of whatever bytes, to a bound.
func FuzzUnpack(f *testing.F) {
	f.Add("lz4", []byte{4, 0x22, 0x4d, 0x18})
	f.Add("zst", []byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Add("xz", []byte("\xfd7zXZ\x00"))
	f.Add("gz", []byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, suffix string, packed []byte) {
		name, unpack := compression("a." + suffix)
		if r, err := unpack(bytes.NewReader(packed)); err == nil {
			n, _ := new(bytes.Buffer).ReadFrom(io.LimitReader(r, 1<<16))
			if n > 1<<16 {
				t.Errorf("%s gives %d bytes", name, n)
			}
		}
	})
}
