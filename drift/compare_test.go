package drift

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/internal/beneath"
)

// entry is one of a tar, with content.
type entry struct {
	tar.Header
	content string
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		h.Size, h.Format = int64(len(e.content)), tar.FormatPAX
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func rootOf(t testing.TB, files map[string]string) *beneath.Root {
	t.Helper()
	return rootIn(t, t.TempDir(), files)
}

func rootIn(t testing.TB, dir string, files map[string]string) *beneath.Root {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := beneath.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestCompare(t *testing.T) {
	root := rootOf(t, map[string]string{"etc/motd": "old\n", "etc/same": "same\n", "etc/mode": "m\n", "etc/key": "old\n", "srv/a/b": "b", "etc/grown": "one", "etc/shrunk": "one two"})
	upper := tarOf(t,
		entry{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}},
		entry{Header: tar.Header{Name: "./etc/", Typeflag: tar.TypeDir, Mode: 0o755}},
		entry{Header: tar.Header{Name: "./etc/motd"}, content: "new\n"},
		entry{Header: tar.Header{Name: "./etc/same"}, content: "same\n"},
		entry{Header: tar.Header{Name: "./etc/mode", Mode: 0o600}, content: "m\n"},
		entry{Header: tar.Header{Name: "./etc/key", Mode: 0o600}, content: "secret\n"},
		entry{Header: tar.Header{Name: "./etc/grown"}, content: "one two"},
		entry{Header: tar.Header{Name: "./etc/shrunk"}, content: "one"},
		entry{Header: tar.Header{Name: "./etc/link", Typeflag: tar.TypeLink, Linkname: "./etc/motd"}},
		entry{Header: tar.Header{Name: "./etc/new"}, content: "hello\n"},
		entry{Header: tar.Header{Name: "./srv/a", Typeflag: tar.TypeDir, Mode: 0o755, PAXRecords: map[string]string{opaque: "y"}}},
		entry{Header: tar.Header{Name: "./srv/gone", Typeflag: tar.TypeChar}},
		entry{Header: tar.Header{Name: "./srv/a/s", Typeflag: tar.TypeSymlink, Linkname: "/etc"}},
		entry{Header: tar.Header{Name: "./var/log/syslog"}, content: "noise"},
		entry{Header: tar.Header{Name: "./srv/uploads/1"}, content: "noise"},
	)
	var kept bytes.Buffer
	archive := tar.NewWriter(&kept)
	got, err := Compare(t.Context(), root, bytes.NewReader(upper), Options{Exclude: []string{"srv/uploads"}, Diff: true, Archive: archive})
	if err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	kinds, diffs := map[string]string{}, map[string]string{}
	for _, c := range got {
		kinds[c.Path], diffs[c.Path] = c.Kind, c.Diff
	}
	want := map[string]string{
		"/etc/motd": Changed, "/etc/mode": Metadata, "/etc/key": Changed, "/etc/link": Added, "/etc/new": Added,
		"/etc/grown": Changed, "/etc/shrunk": Changed, "/srv/a": Opaque, "/srv/gone": Deleted, "/srv/a/s": Added,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(diffs["/etc/motd"], "-old\n+new\n") || diffs["/etc/key"] != "" || !strings.Contains(diffs["/etc/new"], "+hello") {
		t.Errorf("diffs: %q", diffs)
	}
	var names []string
	contents := map[string]string{}
	for entries := tar.NewReader(&kept); ; {
		h, err := entries.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(entries)
		names, contents[h.Name] = append(names, h.Name), string(text)
	}
	if wantNames := []string{"etc/", "etc/motd", "etc/mode", "etc/key", "etc/grown", "etc/shrunk", "etc/link", "etc/new", "srv/a/", "srv/gone", "srv/a/s"}; !cmp.Equal(wantNames, names) {
		t.Errorf("the archive has %v, want %v", names, wantNames)
	}
	if contents["etc/motd"] != "new\n" || contents["etc/key"] != "secret\n" {
		t.Errorf("the archive holds %q", contents)
	}
}

// TestCompareRefusesHostileTars gets what only an attacker sends.
func TestCompareRefusesHostileTars(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	root := rootIn(t, dir, map[string]string{"etc/motd": "old\n"})
	for name, e := range map[string]entry{
		"a name that leaves":        {Header: tar.Header{Name: "../../etc/passwd"}, content: "x"},
		"a name that leaves inside": {Header: tar.Header{Name: "etc/../../passwd"}, content: "x"},
		"a link that leaves":        {Header: tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"}},
		"a link to nothing sent":    {Header: tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: "etc/motd"}},
		"a long name":               {Header: tar.Header{Name: strings.Repeat("a/", 3000) + "b"}, content: "x"},
	} {
		if got, err := Compare(t.Context(), root, bytes.NewReader(tarOf(t, e)), Options{Diff: true}); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// What lies behind a link of the release is not a file of the builder's.
	got, err := Compare(t.Context(), root, bytes.NewReader(tarOf(t, entry{Header: tar.Header{Name: "out/passwd"}, content: "x\n"})), Options{Diff: true})
	if err != nil || len(got) != 1 || got[0].Kind != Added || strings.Contains(got[0].Diff, "root:") {
		t.Errorf("behind a link: %+v, %v", got, err)
	}
	whole := tarOf(t, entry{Header: tar.Header{Name: "a"}, content: strings.Repeat("x", 2000)})
	if _, err := Compare(t.Context(), root, bytes.NewReader(whole[:1500]), Options{}); err == nil {
		t.Error("half a tree passes for one")
	}
	if _, err := Compare(t.Context(), root, bytes.NewReader(whole), Options{Exclude: []string{"../x"}}); err == nil {
		t.Error("a bad pattern is no error")
	}
}

func TestParseSource(t *testing.T) {
	for text, want := range map[string]Source{
		"/live/cow/rw":          {Dir: "/live/cow/rw"},
		"copy":                  {Dir: "copy"},
		"ssh:web01":             {Host: "web01", Dir: DefaultDir},
		"ssh:root@web01.a:2222": {Host: "root@web01.a:2222", Dir: DefaultDir},
		"ssh:[2001:db8::1]:22":  {Host: "[2001:db8::1]:22", Dir: DefaultDir},
		"ssh:":                  {},
		"ssh:-oProxyCommand=x":  {},
		"ssh:a b":               {},
		"ssh:$(x)@web01":        {},
		"ssh:web01;id":          {},
		"":                      {},
	} {
		got, err := ParseSource(text)
		if (err != nil) != (want.Dir == "") || !cmp.Equal(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(tarOf(f, entry{Header: tar.Header{Name: "./etc/motd"}, content: "x"}, entry{Header: tar.Header{Name: "w", Typeflag: tar.TypeChar}}))
	root := rootOf(f, map[string]string{"etc/motd": "old\n"})
	f.Fuzz(func(t *testing.T, data []byte) {
		archive := tar.NewWriter(io.Discard)
		got, err := Compare(t.Context(), root, bytes.NewReader(data), Options{Diff: true, Archive: archive})
		if err != nil {
			return
		}
		for _, c := range got {
			if !strings.HasPrefix(c.Path, "/") || strings.Contains(c.Path, "/../") {
				t.Errorf("%+v", c)
			}
		}
	})
}
