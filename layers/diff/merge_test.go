package diff

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A tree is written down as a list of entries:
//
//	etc/            a directory
//	etc/f=content   a file
//	etc/l->target   a symbolic link
//	etc/h=>etc/f    a hard link
//	etc/p|          a pipe
//	-etc/f          in a layer a whiteout, in a difference a deletion
//	etc/!           in a layer an opaque marker, in a difference such a directory
//
// "NAME @755", "NAME #1" and "NAME %attribute" give an entry another mode,
// another mtime or an extended attribute.
func parseEntry(entry string) (h *tar.Header, content string) {
	h = &tar.Header{
		Typeflag: tar.TypeReg, Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid(), ModTime: time.Unix(1000, 0), Format: tar.FormatPAX,
	}
	entry, extra, _ := strings.Cut(entry, " ")
	if strings.HasSuffix(entry, "/") {
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	}
	switch {
	case strings.HasPrefix(extra, "@"):
		fmt.Sscanf(extra, "@%o", &h.Mode)
	case strings.HasPrefix(extra, "#"):
		var mtime int64
		fmt.Sscanf(extra, "#%d", &mtime)
		h.ModTime = time.Unix(mtime, 0)
	case strings.HasPrefix(extra, "%"):
		h.PAXRecords = map[string]string{paxXattr + extra[1:]: "value"}
	}
	if name, ok := strings.CutPrefix(entry, "-"); ok {
		h.Name = filepath.Join(filepath.Dir(name), whiteoutPrefix+filepath.Base(name))
	} else if name, ok := strings.CutSuffix(entry, "!"); ok {
		h.Name = name + opaqueMarker
	} else if name, ok := strings.CutSuffix(entry, "|"); ok {
		h.Name, h.Typeflag = name, tar.TypeFifo
	} else if name, target, ok := strings.Cut(entry, "=>"); ok {
		h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeLink
	} else if name, target, ok := strings.Cut(entry, "->"); ok {
		h.Name, h.Linkname, h.Typeflag, h.Mode = name, target, tar.TypeSymlink, 0o777
	} else {
		h.Name, content, _ = strings.Cut(entry, "=")
		h.Size = int64(len(content))
	}
	return h, content
}

func layerOf(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, entry := range entries {
		h, content := parseEntry(entry)
		must(t, w.WriteHeader(h))
		_, err := io.WriteString(w, content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// rootOf makes a root filesystem of files, directories and symbolic links.
func rootOf(t testing.TB, entries ...string) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.Chmod(root, 0o755))
	for _, entry := range entries {
		h, content := parseEntry(entry)
		path := filepath.Join(root, h.Name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch h.Typeflag {
		case tar.TypeDir:
			must(t, os.MkdirAll(path, 0o755))
		case tar.TypeSymlink:
			must(t, os.Symlink(h.Linkname, path))
		default:
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	return root
}

// show writes a difference down. The mode is shown where it is not the usual.
func show(t *testing.T, raw []byte) (shown []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return shown
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		line, usual := h.Name, int64(0o644)
		switch {
		case h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0:
			line, usual = "-"+h.Name, 0
		case h.Typeflag == tar.TypeDir:
			usual = 0o755
			if h.PAXRecords[paxXattr+opaqueXattr] == "y" {
				line += "!"
			}
		case h.Typeflag == tar.TypeSymlink:
			line, usual = h.Name+"->"+h.Linkname, 0o777
		case h.Typeflag == tar.TypeLink:
			line += "=>" + h.Linkname
		case h.Typeflag == tar.TypeFifo:
			line += "|"
		default:
			line += "=" + string(content)
		}
		if h.Mode != usual {
			line += fmt.Sprintf(" @%o", h.Mode)
		}
		shown = append(shown, line)
	}
}

func merge(t *testing.T, root string, o MergeOptions, layers ...[]byte) ([]byte, Report, error) {
	t.Helper()
	var b bytes.Buffer
	report, err := Merge(t.Context(), &b, root, opens(layers...), o)
	return b.Bytes(), report, err
}

func opens(layers ...[]byte) (open []Open) {
	for _, layer := range layers {
		open = append(open, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil })
	}
	return open
}

type list = []string

var mergeCases = map[string]struct {
	root   list
	layers []list
	want   list
}{
	"nothing":                     {list{"etc/f=1"}, nil, nil},
	"added":                       {list{"etc/"}, []list{{"etc/", "etc/new=1"}}, list{"etc/", "etc/new=1"}},
	"added deep":                  {nil, []list{{"a/", "a/b/", "a/b/f=1"}}, list{"a/", "a/b/", "a/b/f=1"}},
	"without parents":             {list{"etc/"}, []list{{"etc/d/f=1"}}, list{"etc/", "etc/d/", "etc/d/f=1"}},
	"changed":                     {list{"etc/f=1"}, []list{{"etc/", "etc/f=2"}}, list{"etc/", "etc/f=2"}},
	"identical":                   {list{"etc/f=1"}, []list{{"etc/", "etc/f=1"}}, nil},
	"mtime alone":                 {list{"etc/f=1"}, []list{{"etc/ #7", "etc/f=1 #7"}}, nil},
	"mode":                        {list{"etc/f=1"}, []list{{"etc/", "etc/f=1 @600"}}, list{"etc/", "etc/f=1 @600"}},
	"mode of a directory":         {list{"etc/f=1"}, []list{{"etc/ @700", "etc/f=1"}}, list{"etc/ @700"}},
	"mode of the root":            {list{"etc/"}, []list{{"./ @711"}}, list{"./ @711"}},
	"root unchanged":              {list{"etc/"}, []list{{"./"}}, nil},
	"attribute":                   {list{"f=1"}, []list{{"f=1 %user.a"}}, list{"f=1"}},
	"overlayfs' own attribute":    {list{"f=1", "d/"}, []list{{"f=1 %trusted.overlay.metacopy", "d/ %trusted.overlay.redirect"}}, nil},
	"later wins":                  {nil, []list{{"f=1"}, {"f=22"}}, list{"f=22"}},
	"back to what it was":         {list{"f=1"}, []list{{"f=22"}, {"f=1"}}, nil},
	"deleted":                     {list{"etc/f=1"}, []list{{"etc/", "-etc/f"}}, list{"etc/", "-etc/f"}},
	"directory deleted":           {list{"etc/f=1"}, []list{{"-etc"}}, list{"-etc"}},
	"deleted by a device":         {list{"f=1"}, []list{{"-f"}}, list{"-f"}},
	"deletion of nothing":         {list{"etc/"}, []list{{"etc/", "-etc/f"}}, nil},
	"added and deleted":           {list{"etc/"}, []list{{"etc/", "etc/f=1"}, {"etc/", "-etc/f"}}, nil},
	"deleted and made again":      {list{"f=1"}, []list{{"-f"}, {"f=2"}}, list{"f=2"}},
	"deleted and as it was":       {list{"f=1"}, []list{{"-f"}, {"f=1"}}, nil},
	"whiteout after its file":     {list{"f=1"}, []list{{"f=2", "-f"}}, list{"f=2"}},
	"directory made anew":         {list{"d/f=1", "d/g=2"}, []list{{"d/", "d/!", "d/h=3"}}, list{"d/!", "d/h=3"}},
	"marker after its files":      {list{"d/f=1"}, []list{{"d/", "d/h=3", "d/!"}}, list{"d/!", "d/h=3"}},
	"anew over a deletion":        {list{"d/f=1"}, []list{{"-d"}, {"d/", "d/h=3"}}, list{"d/!", "d/h=3"}},
	"anew over a file":            {list{"d/f=1"}, []list{{"d=1"}, {"-d"}, {"d/", "d/h=3"}}, list{"d/!", "d/h=3"}},
	"straight over a file":        {list{"d/f=1"}, []list{{"d=1"}, {"d/", "d/h=3"}}, list{"d/!", "d/h=3"}},
	"anew, in part as it was":     {list{"d/f=1", "d/g=2", "d/e/x=1"}, []list{{"d/", "d/!", "d/f=1", "d/h=3"}}, list{"d/", "-d/e", "-d/g", "d/h=3"}},
	"anew, deeper as it was":      {list{"d/e/f=1", "d/e/g=2"}, []list{{"d/", "d/!", "d/e/", "d/e/f=1"}}, list{"d/", "d/e/", "-d/e/g"}},
	"anew as it was":              {list{"d/e/f=1"}, []list{{"d/", "d/!", "d/e/", "d/e/f=1"}}, nil},
	"anew where nothing is":       {list{"etc/"}, []list{{"d/", "d/!", "d/f=1"}}, list{"d/", "d/f=1"}},
	"opaque over layers":          {list{"d/"}, []list{{"d/", "d/a=1"}, {"d/", "d/!", "d/b=2"}}, list{"d/!", "d/b=2"}},
	"opaque and later additions":  {list{"d/f=1"}, []list{{"d/", "d/!"}, {"d/", "d/b=2"}}, list{"d/!", "d/b=2"}},
	"whole root made anew":        {list{"a=1", "b/"}, []list{{"!", "c=1"}}, list{"-a", "-b", "c=1"}},
	"file to directory":           {list{"x=1"}, []list{{"x/", "x/f=1"}}, list{"x/", "x/f=1"}},
	"directory to file":           {list{"x/f=1"}, []list{{"x=1"}}, list{"x=1"}},
	"directory to link":           {list{"x/f=1", "y/"}, []list{{"x->y"}}, list{"x->y"}},
	"link to directory":           {list{"x->y", "y/f=1"}, []list{{"x/", "x/f=1"}}, list{"x/", "x/f=1"}},
	"link kept":                   {list{"x->y"}, []list{{"x->y"}}, nil},
	"link changed":                {list{"x->y"}, []list{{"x->z"}}, list{"x->z"}},
	"pipe":                        {list{"x=1"}, []list{{"x|"}}, list{"x|"}},
	"hard links":                  {nil, []list{{"a=1", "b=>a"}}, list{"a=1", "b=>a"}},
	"hard link across layers":     {nil, []list{{"a=1"}, {"b=>a"}}, list{"a=1", "b=>a"}},
	"hard link, one end kept":     {list{"a=1"}, []list{{"a=1", "b=>a", "c=>a"}}, list{"b=1", "c=>b"}},
	"hard link, one end gone":     {nil, []list{{"a=1", "b=>a"}, {"-a"}}, list{"b=1"}},
	"hard link, one end anew":     {nil, []list{{"a=1", "b=>a"}, {"a=2"}}, list{"a=2", "b=1"}},
	"hard link, one end left out": {nil, []list{{"tmp/a=1", "u=>tmp/a"}}, list{"tmp/", "u=1"}},
	"merged usr":                  {list{"bin->usr/bin", "usr/bin/"}, []list{{"usr/", "usr/bin/", "usr/bin/x=1"}}, list{"usr/", "usr/bin/", "usr/bin/x=1"}},
	"merged usr unmerged":         {list{"bin->usr/bin"}, []list{{"bin->usr/sbin"}}, list{"bin->usr/sbin"}},
	"left out": {list{"var/log/old=1"}, []list{{"var/", "var/log/", "var/log/x=1", "-var/log/old", "tmp/", "tmp/x=1", "root/", "root/.ansible/", "root/.ansible/x=1"}},
		list{"root/", "tmp/"}},
	"order": {nil, []list{{"b/", "b/x=2", "b.d/", "a=1"}, {"b/", "b/a=3"}}, list{"a=1", "b/", "b/a=3", "b/x=2", "b.d/"}},
}

func TestMerge(t *testing.T) {
	for name, c := range mergeCases {
		t.Run(name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, layerOf(t, l...))
			}
			raw, report, err := merge(t, rootOf(t, c.root...), MergeOptions{}, layers...)
			must(t, err)
			if diff := cmp.Diff(c.want, show(t, raw)); diff != "" {
				t.Errorf("difference (-want +got):\n%s", diff)
			}
			if report.Empty() != (len(c.want) == 0) {
				t.Errorf("the report says empty %t: %+v", report.Empty(), report)
			}
		})
	}
}

func TestMergeRefuses(t *testing.T) {
	cases := map[string]struct {
		root, layer list
		want        string
	}{
		"directory over merged usr":  {list{"bin->usr/bin", "usr/bin/"}, list{"bin/", "bin/x=1"}, `"bin"`},
		"without its entry":          {list{"lib64->usr/lib64"}, list{"lib64/x=1"}, `"usr/lib64"`},
		"beneath a link":             {list{"run->var"}, list{"run/x=1"}, `"run"`},
		"beneath a file":             {nil, list{"x=1", "x/y=1"}, `"x/y"`},
		"hard link to nowhere":       {list{"a=1"}, list{"b=>a"}, `"b"`},
		"hard link to a directory":   {nil, list{"a/", "b=>a"}, `"b"`},
		"out of the root":            {nil, list{"a/../../x=1"}, "leaves the root"},
		"whiteout of nothing":        {nil, list{"a/.wh.=1"}, "without a name"},
		"whiteout of the directory":  {nil, list{"a/.wh..=1"}, "without a name"},
		"whiteout of the one above":  {nil, list{"a/.wh...=1"}, "without a name"},
		"beneath a whiteout":         {nil, list{".wh.a/b=1"}, "whiteout"},
		"long path":                  {nil, list{strings.Repeat("long/", 1000) + "x=1"}, "longer"},
		"root that is not directory": {nil, list{".=1"}, "root"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := merge(t, rootOf(t, c.root...), MergeOptions{}, layerOf(t, c.layer...))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestMergeExcludes(t *testing.T) {
	layer := layerOf(t, "etc/", "etc/a.bak=1", "etc/b=1", "srv/", "srv/deep/", "srv/deep/x.bak=1", "-etc/old.bak")
	raw, _, err := merge(t, rootOf(t, "etc/old.bak=1"), MergeOptions{Exclude: list{"**/*.bak", "srv/deep"}}, layer)
	must(t, err)
	if diff := cmp.Diff(list{"etc/", "etc/b=1", "srv/"}, show(t, raw)); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
}

func TestMergeReport(t *testing.T) {
	large := strings.Repeat("x", largeMetadata+1)
	entries := list{"usr/", "usr/lib/", "usr/lib/modules/", "usr/lib/modules/6/", "usr/lib/modules/6/m.ko=1", "-gone", "big=" + large + " @600", "link=>big", "dir/", "dir/!"}
	for i := range 12 {
		entries = append(entries, fmt.Sprintf("f%02d=%s", i, strings.Repeat("y", 100-i/2)))
	}
	_, got, err := merge(t, rootOf(t, "gone=1", "big="+large, "dir/x=1"), MergeOptions{}, layerOf(t, entries...))
	must(t, err)
	want := Report{
		Files: 14, Links: 1, Directories: 5, Opaque: 1, Deletions: 1, Bytes: int64(len(large)) + 1,
		MetadataOnly:  []File{{"big", int64(len(large))}},
		KernelModules: list{"usr/lib/modules/6/m.ko"},
		Largest:       []File{{"big", int64(len(large))}},
	}
	for i := range 12 {
		want.Bytes += int64(100 - i/2)
		if i < 9 {
			want.Largest = append(want.Largest, File{fmt.Sprintf("f%02d", i), int64(100 - i/2)})
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// TestMergeReadsALayerTwice counts: once for the index, once for content.
func TestMergeReadsALayerTwice(t *testing.T) {
	layer := layerOf(t, "a=1", "b/", "b/c=2", "d=3", "e=>a")
	opened, closed := 0, 0
	open := func() (io.ReadCloser, error) {
		opened++
		return onClose{bytes.NewReader(layer), func() { closed++ }}, nil
	}
	_, err := Merge(t.Context(), io.Discard, rootOf(t), []Open{open}, MergeOptions{})
	must(t, err)
	if opened != 2 || closed != 2 {
		t.Errorf("opened %d times, closed %d times, want 2", opened, closed)
	}
}

type onClose struct {
	io.Reader
	call func()
}

func (c onClose) Close() error {
	c.call()
	return nil
}

func TestMergeOfSparseFiles(t *testing.T) {
	content := make([]byte, 8<<20+5)
	for _, offset := range []int{0, 3 << 20, 5<<20 + 77} {
		content[offset] = 'x'
	}
	for _, tail := range (list{"", "end"}) {
		want := append(slices.Clone(content), tail...)
		raw, _, err := merge(t, rootOf(t), MergeOptions{}, layerOf(t, "before=1", "file="+string(want)+" #5", "later=2"))
		must(t, err)
		if len(raw) > len(want)/10 {
			t.Errorf("the holes take space: %d bytes", len(raw))
		}
		if diff := cmp.Diff(list{"before=1", "file=" + string(want), "later=2"}, show(t, raw)); diff != "" {
			t.Error("the content differs")
		}
		if h := entries(t, raw)["file"]; h.Uid != os.Getuid() || h.ModTime.Unix() != 5 || h.Mode != 0o644 {
			t.Errorf("owner %d, mtime %v, mode %o", h.Uid, h.ModTime, h.Mode)
		}
	}
}

// TestManyHoles: a file of more holes than are noted keeps the largest of
// them, however it is read.
func TestManyHoles(t *testing.T) {
	const pieces, hole = maxExtents + 7, 2 * holeBlock
	content := func() io.Reader {
		piece := make([]byte, hole)
		piece[0] = 'x'
		return io.MultiReader(io.LimitReader(&repeated{piece: piece}, pieces*hole), io.LimitReader(zeros{}, 64<<20))
	}
	var found [][]extent
	for _, size := range []int{copyBuffer, 10_007, 1 << 20} {
		var f holeFinder
		_, err := io.CopyBuffer(struct{ io.Writer }{&f}, struct{ io.Reader }{content()}, make([]byte, size))
		must(t, err)
		found = append(found, f.extents())
	}
	if diff := cmp.Diff(found[0], found[1], cmp.AllowUnexported(extent{})); diff != "" {
		t.Errorf("small reads find others: %s", diff)
	}
	if diff := cmp.Diff(found[0], found[2], cmp.AllowUnexported(extent{})); diff != "" {
		t.Errorf("large reads find others: %s", diff)
	}
	last := found[0][len(found[0])-1]
	if len(found[0]) > maxExtents || last.to != pieces*hole+64<<20 || last.to-dataSize(found[0]) < 60<<20 {
		t.Errorf("%d parts with %d bytes of %d", len(found[0]), dataSize(found[0]), last.to)
	}
}

// repeated reads a piece again and again.
type repeated struct {
	piece []byte
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.piece[r.at:])
	r.at = (r.at + n) % len(r.piece)
	return n, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestMergeDropsListsThatSayNothing: WriteLayer has them to keep unpackers
// from giving inherited ones.
func TestMergeDropsListsThatSayNothing(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, entry := range (list{"d/", "d/f="}) {
		h, _ := parseEntry(entry)
		m, err := metaOf(h)
		must(t, err)
		if uninherit(&m); len(m.xattrs) == 0 {
			t.Fatalf("%q would inherit", entry)
		}
		must(t, w.WriteHeader(m.header(strings.Trim(h.Name, "/"))))
	}
	must(t, w.Close())
	raw, _, err := merge(t, rootOf(t, "d/f="), MergeOptions{}, b.Bytes())
	must(t, err)
	if got := show(t, raw); got != nil {
		t.Errorf("difference %q, want none", got)
	}
}

// sparseEntry is a layer of a few blocks that claims to be large.
func sparseEntry(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := sparseWriter{out: &b, tar: tar.NewWriter(&b), buffer: make([]byte, 10)}
	must(t, w.write(&meta{kind: tar.TypeReg, size: 1 << 20}, "f", []extent{{1 << 20, 1 << 20}}, bytes.NewReader(make([]byte, 1<<20))))
	must(t, w.tar.Close())
	return b.Bytes()
}

func TestMergeRefusesSparseEntries(t *testing.T) {
	if _, _, err := merge(t, rootOf(t), MergeOptions{}, sparseEntry(t)); err == nil || !strings.Contains(err.Error(), "sparse") {
		t.Errorf("error %v, want one about sparse entries", err)
	}
}
