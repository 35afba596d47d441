package diff

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestCheckSizes(t *testing.T) {
	const gib = 1 << 30
	limits := SizeLimits{File: 16 * gib, Layer: 64 * gib}
	lastlog := map[string]int64{"etc/hostname": 5, "var/log/lastlog": 467 * gib, "var/log/wtmp": 17 * gib}
	for name, tt := range map[string]struct {
		files  map[string]int64 // their sizes: holes, all of them
		links  list             // more names of srv/a
		limits SizeLimits
		want   *SizeError
	}{
		"nothing":                 {nil, nil, limits, nil},
		"as large as may be":      {map[string]int64{"srv/a": 16 * gib, "srv/b": 16 * gib, "srv/c": 16 * gib, "srv/d": 16 * gib}, nil, limits, nil},
		"a lastlog":               {lastlog, nil, limits, &SizeError{Path: "var/log/lastlog", Size: 467 * gib}},
		"a lastlog that is meant": {lastlog, nil, SizeLimits{File: 500 * gib, Layer: 500 * gib}, nil},
		"one byte too large":      {map[string]int64{"srv/a": 16*gib + 1}, nil, limits, &SizeError{Path: "srv/a", Size: 16*gib + 1}},
		"together":                {map[string]int64{"a": 16 * gib, "b": 16 * gib, "c": 16 * gib, "d": 16 * gib, "e": 1}, nil, limits, &SizeError{Path: "a", Size: 16 * gib, Total: 64*gib + 1}},
		"one file of many names":  {map[string]int64{"srv/a": 16 * gib}, list{"b", "c", "d", "e", "f"}, limits, nil},
	} {
		t.Run(name, func(t *testing.T) {
			upper := t.TempDir()
			for file, size := range tt.files {
				path := filepath.Join(upper, file)
				must(t, os.MkdirAll(filepath.Dir(path), 0o755))
				must(t, os.WriteFile(path, nil, 0o644))
				must(t, os.Truncate(path, size))
			}
			for _, link := range tt.links {
				must(t, os.Link(filepath.Join(upper, "srv/a"), filepath.Join(upper, link)))
			}
			must(t, os.Symlink("/dev/zero", filepath.Join(upper, "link")))
			err := CheckSizes(t.Context(), upper, tt.limits)
			var got *SizeError
			if errors.As(err, &got); err != nil && got == nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDigestOfHoles: a layer does not depend on how its files lie on the disk.
func TestDigestOfHoles(t *testing.T) {
	sparse, full := t.TempDir(), t.TempDir()
	content := make([]byte, 9<<20)
	for _, at := range []int{0, 4 << 20, 9<<20 - 1} {
		content[at] = 'x'
	}
	for _, dir := range (list{sparse, full}) {
		f, err := os.Create(filepath.Join(dir, "file"))
		must(t, err)
		if dir == full {
			_, err = f.Write(content)
			must(t, err)
		}
		for _, at := range []int64{0, 4 << 20, 9<<20 - 1} {
			_, err = f.WriteAt([]byte("x"), at)
			must(t, err)
		}
		must(t, f.Close())
		must(t, os.Chtimes(f.Name(), time.Unix(0, 0), time.Unix(0, 0)))
	}
	if a, b := onDisk(t, filepath.Join(sparse, "file")), onDisk(t, filepath.Join(full, "file")); a > 1<<20 || b < 9<<20 {
		t.Skipf("the filesystem gives %d and %d bytes of disk: it has no holes", a, b)
	}
	if string(writeLayer(t, sparse, LayerOptions{})) != string(writeLayer(t, full, LayerOptions{})) {
		t.Error("the layers differ")
	}
}

func onDisk(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Blocks * 512
}
