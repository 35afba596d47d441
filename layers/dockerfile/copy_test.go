package dockerfile

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/patternmatcher"
	"github.com/openshift/imagebuilder"
	"github.com/ulikunitz/xz"
)

func openTestContext(t *testing.T, files map[string]string) *buildContext {
	t.Helper()
	d := &Step{Name: "sub/Dockerfile", Context: writeFiles(t, files)}
	c, err := d.openContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// placeHere copies files of a context to a directory, as this user.
func placeHere(t *testing.T, c *buildContext, dest string, names ...string) error {
	t.Helper()
	none, err := patternmatcher.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var sources []copySource
	for _, name := range names {
		info, err := c.root.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, copySource{name: filepath.Base(name), dir: info.IsDir(), walk: func(visit func(treeEntry) error) error {
			return c.walk(t.Context(), name, none, visit)
		}})
	}
	p := placer{owner: &fileOwner{os.Getuid(), os.Getgid()}}
	return p.placeAll(sources, dest)
}

// tree lists files with their content, and links with where they point.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			found[name], err = os.Readlink(path)
			found[name] = "-> " + found[name]
			return err
		}
		content, err := os.ReadFile(path)
		found[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPlaceAllFollowsDockersRules(t *testing.T) {
	for name, test := range map[string]struct {
		sources []string
		dest    string
		want    map[string]string
	}{
		"a file as a file":            {[]string{"a"}, "new", map[string]string{"new": "A"}},
		"a file into a new directory": {[]string{"a"}, "deep/new/", map[string]string{"deep/new/a": "A"}},
		"a file into a directory":     {[]string{"a"}, "exists", map[string]string{"exists/a": "A"}},
		"a directory's content":       {[]string{"dir"}, "new", map[string]string{"new/b": "B", "new/sub/c": "C", "new/link": "-> ../a"}},
		"several":                     {[]string{"a", "dir/b"}, "new/", map[string]string{"new/a": "A", "new/b": "B"}},
		"over a file":                 {[]string{"a"}, "file", map[string]string{"file": "A"}},
		"over a link":                 {[]string{"a"}, "dangling", map[string]string{"dangling": "A"}},
		"through a link":              {[]string{"dir/b"}, "linked/", map[string]string{"exists/b": "B"}},
		"into a link":                 {[]string{"merged"}, "", map[string]string{"exists/tool": "T"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := openTestContext(t, map[string]string{"a": "A", "dir/b": "B", "dir/sub/c": "C", "merged/linked/tool": "T"})
			if err := os.Symlink("../a", filepath.Join(c.root.Name(), "dir/link")); err != nil {
				t.Fatal(err)
			}
			to := writeFiles(t, map[string]string{"file": "old"})
			err := os.Mkdir(filepath.Join(to, "exists"), 0o755)
			for link, target := range map[string]string{"linked": "exists", "dangling": "nowhere"} {
				if err == nil {
					err = os.Symlink(target, filepath.Join(to, link))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			test.want["linked"] = "-> exists"
			for name, content := range map[string]string{"file": "old", "dangling": "-> nowhere"} {
				if _, ok := test.want[name]; !ok {
					test.want[name] = content
				}
			}
			dest := filepath.Join(to, test.dest)
			if strings.HasSuffix(test.dest, "/") {
				dest += "/"
			}
			if err := placeHere(t, c, dest, test.sources...); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, tree(t, to)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlaceKeepsModesAndTimes(t *testing.T) {
	c := openTestContext(t, map[string]string{"dir/sub/tool": ""})
	old := time.Unix(1700000000, 123456789)
	tool := filepath.Join(c.root.Name(), "dir/sub/tool")
	if err := os.Chmod(tool, 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{tool, filepath.Dir(tool)} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	to := t.TempDir()
	if err := placeHere(t, c, to, "dir"); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{"sub": 0o755 | fs.ModeDir, "sub/tool": 0o755 | fs.ModeSetuid} {
		info, err := os.Stat(filepath.Join(to, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode || !info.ModTime().Equal(old) {
			t.Errorf("%s has mode %v and time %v; want %v and %v", path, info.Mode(), info.ModTime(), mode, old)
		}
	}
}

func TestPlaceRefusesToReplaceADirectory(t *testing.T) {
	c := openTestContext(t, map[string]string{"dir/name": ""})
	to := writeFiles(t, map[string]string{"name/file": "kept"})
	if err := placeHere(t, c, to, "dir"); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("the error is %v; want that a directory is in the way", err)
	}
	if diff := cmp.Diff(map[string]string{"name/file": "kept"}, tree(t, to)); diff != "" {
		t.Error(diff)
	}
}

func TestContextWalkLeavesOutWhatIsIgnored(t *testing.T) {
	c := openTestContext(t, map[string]string{
		"Dockerfile.dockerignore": "# comment\n*.log\ndeep\n!deep/kept\n", ".dockerignore": "a\n",
		"a": "", "b.log": "", "deep/kept": "", "deep/other": "", "dir/x": "", "dir/y": "",
	})
	excluded, err := patternmatcher.New([]string{"dir/y"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = c.walk(t.Context(), ".", excluded, func(e treeEntry) error {
		got = append(got, e.path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".", ".dockerignore", "Dockerfile.dockerignore", "a", "deep/kept", "dir", "dir/x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestContextMatch(t *testing.T) {
	c := openTestContext(t, map[string]string{"a.conf": "", "b.conf": "", "dir/c.conf": ""})
	for pattern, want := range map[string][]string{
		"*.conf": {"a.conf", "b.conf"}, "/dir": {"dir"}, "./dir/": {"dir"}, ".": {"."}, "": {"."}, "/": {"."},
		"*/*.conf": {"dir/c.conf"}, "dir/../a.conf": {"a.conf"},
	} {
		got, err := c.match(pattern)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q means %q, error %v; want %q", pattern, got, err, want)
		}
	}
}

func TestADDUnpacksArchives(t *testing.T) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, h := range []*tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o700},
		{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o750},
		{Name: "../dir/../../file", Typeflag: tar.TypeReg, Mode: 0o640, Size: 4},
		{Name: "dir/hard", Typeflag: tar.TypeLink, Linkname: "file"},
		{Name: "dir/link", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
	} {
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "text"[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	compressors := map[string]func(io.Writer) (io.WriteCloser, error){
		"tar":  func(w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil },
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	}
	for name, compress := range compressors {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "archive")
			writeCompressed(t, path, compress, plain.Bytes())
			open := func() (fs.File, error) { return os.Open(path) }
			if archive, err := isArchive(open); err != nil || !archive {
				t.Fatalf("it is an archive: %v, error %v", archive, err)
			}
			to := t.TempDir()
			p := placer{}
			if err := p.placeAll([]copySource{archiveSource(t.Context(), "archive", open)}, to); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"file": "text", "dir/hard": "text", "dir/link": "-> /etc"}
			if diff := cmp.Diff(want, tree(t, to)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, content := range []string{"", "text", "\x1f\x8bno gzip", "BZh", "\xfd7zXZ\x00no xz", "\x28\xb5\x2f\xfdno zstd"} {
		open := func() (fs.File, error) { return textFile{strings.NewReader(content)}, nil }
		if archive, err := isArchive(open); err != nil || archive {
			t.Errorf("%q is an archive: %v, error %v; want an ordinary file", content, archive, err)
		}
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

type textFile struct{ io.Reader }

func (textFile) Close() error               { return nil }
func (textFile) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }

func writeCompressed(t *testing.T, path string, compress func(io.Writer) (io.WriteCloser, error), content []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := compress(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzTarEntry(f *testing.F) {
	for _, name := range []string{"a", "../a", "/", "", "a/../../b", "a\x00b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		e, _ := tarEntry(&tar.Header{Name: name, Typeflag: tar.TypeReg}, nil)
		if !filepath.IsLocal(e.path) {
			t.Errorf("%q is placed at %q", name, e.path)
		}
	})
}

func TestShellScript(t *testing.T) {
	file := func(name, data string) imagebuilder.File { return imagebuilder.File{Name: name, Data: data} }
	for name, test := range map[string]struct {
		run  imagebuilder.Run
		want string
	}{
		"a line":       {imagebuilder.Run{Args: []string{"echo a"}}, "echo a"},
		"a script":     {imagebuilder.Run{Args: []string{"<<EOF"}, Files: []imagebuilder.File{file("EOF", "\na\nb")}}, "a\nb\n"},
		"quoted":       {imagebuilder.Run{Args: []string{`<<-"EOF"`}, Files: []imagebuilder.File{file("EOF", "\na")}}, "a\n"},
		"nothing":      {imagebuilder.Run{Args: []string{"<<EOF"}, Files: []imagebuilder.File{file("EOF", "")}}, ""},
		"for a tool":   {imagebuilder.Run{Args: []string{"cat <<EOF >x"}, Files: []imagebuilder.File{file("EOF", "\na")}}, "cat <<EOF >x\na\nEOF"},
		"two for tool": {imagebuilder.Run{Args: []string{"paste <<A <<B"}, Files: []imagebuilder.File{file("A", "\na"), file("B", "")}}, "paste <<A <<B\na\nA\nB"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := shellScript(test.run); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
