package vault

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// packed makes a tar of entries, whose content is their name.
func packed(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, header := range entries {
		content := header.Name
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Typeflag != tar.TypeReg {
			content = ""
		} else if header.Size != 0 {
			content = strings.Repeat("x", int(header.Size))
		}
		header.Size = int64(len(content))
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestArchive(t *testing.T) {
	for _, host := range []string{"web-1.example.com", "site/web"} {
		want := testIdentity(t).parts()
		data, err := writeArchive(host, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readArchive(host, data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", host, diff)
		}
	}
}

func TestReadArchive(t *testing.T) {
	data := packed(t,
		tar.Header{Name: "web/", Typeflag: tar.TypeDir},
		tar.Header{Name: "web/etc/", Typeflag: tar.TypeDir},
		tar.Header{Name: "./web/etc/ssh/ssh_host_rsa_key"},
		tar.Header{Name: "web/etc/ssh/ssh_host_dsa_key"},
		tar.Header{Name: "web/etc/machine-id"},
	)
	got, err := readArchive("web", data)
	if err != nil {
		t.Fatal(err)
	}
	want := parts{"rsa": "./web/etc/ssh/ssh_host_rsa_key", "machine-id": "web/etc/machine-id"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestReadArchiveRefuses(t *testing.T) {
	key := tar.Header{Name: "web/etc/ssh/ssh_host_rsa_key"}
	tests := []struct {
		name    string
		entries []tar.Header
		want    string
	}{
		{"another host's", []tar.Header{{Name: "web-2/etc/ssh/ssh_host_rsa_key"}}, "not of this host"},
		{"above", []tar.Header{{Name: "web/../../etc/passwd"}}, "not of this host"},
		{"absolute", []tar.Header{{Name: "/etc/ssh/ssh_host_rsa_key"}}, "not of this host"},
		{"a link", []tar.Header{{Name: key.Name, Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}}, "not a regular file"},
		{"a hard link", []tar.Header{{Name: key.Name, Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}}, "not a regular file"},
		{"twice", []tar.Header{key, key}, "twice"},
		{"large", []tar.Header{{Name: key.Name, Size: maxPart + 1}}, "more than 65536 bytes"},
		{"many", slices.Repeat([]tar.Header{{Name: "web/x"}}, maxEntries+1), "more than 64 entries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readArchive("web", packed(t, tt.entries...))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := readArchive("web", packed(t, key)[:530]); err == nil {
		t.Error("an archive that is cut off was accepted")
	}
}

func FuzzReadArchive(f *testing.F) {
	f.Add("web", packed(f, tar.Header{Name: "web/etc/ssh/ssh_host_rsa_key"}, tar.Header{Name: "web/etc/machine-id"}))
	f.Add("a/b", packed(f, tar.Header{Name: "a/", Typeflag: tar.TypeDir}, tar.Header{Name: "a/b/etc/ssh/ssh_host_ecdsa_key.pub"}))
	f.Add("web", packed(f, tar.Header{Name: "../x"}))
	f.Fuzz(func(t *testing.T, host string, data []byte) {
		if checkHost(host) != nil || len(data) > maxFile {
			return
		}
		p, err := readArchive(host, data)
		if err != nil {
			return
		}
		for name, text := range p {
			if !slices.Contains(partNames(), name) || len(text) > maxPart {
				t.Errorf("%q of %d bytes came out", name, len(text))
			}
		}
		again, err := writeArchive(host, p)
		if err != nil {
			t.Fatal(err)
		}
		same, err := readArchive(host, again)
		if diff := cmp.Diff(p, same); err != nil || diff != "" {
			t.Errorf("%v: want (-), got (+):\n%s", err, diff)
		}
	})
}
