package diff

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzMerge merges any two tars.
func FuzzMerge(f *testing.F) {
	for _, c := range mergeCases {
		layers := [][]byte{nil, nil}
		for i, l := range c.layers {
			if i < 2 {
				layers[i] = layerOf(f, l...)
			}
		}
		f.Add(layers[0], layers[1])
	}
	f.Add(layerOf(f, "out/secret=1", "d/", "d/!", "d/out/", "d/out/secret=1"), sparseEntry(f))
	with, without := fuzzRoot(f, true), fuzzRoot(f, false)
	f.Fuzz(func(t *testing.T, one, two []byte) {
		checkMerge(t, with, without, one, two)
	})
}

// FuzzMergeEntries merges well-formed tars: a line is an entry as in
// TestMerge, an empty line begins the next layer.
func FuzzMergeEntries(f *testing.F) {
	for _, c := range mergeCases {
		var text []string
		for _, l := range c.layers {
			text = append(text, strings.Join(l, "\n"))
		}
		f.Add(strings.Join(text, "\n\n"))
	}
	f.Add("out/secret=1\nd/\nd/!\nd/out/\nd/out/secret=1\n\n-d/out\nd/f=>out/secret")
	with, without := fuzzRoot(f, true), fuzzRoot(f, false)
	f.Fuzz(func(t *testing.T, text string) {
		var layers [][]byte
		for layer := range strings.SplitSeq(text, "\n\n") {
			layers = append(layers, tryLayer(strings.Split(layer, "\n")))
		}
		checkMerge(t, with, without, layers...)
	})
}

// tryLayer leaves out what no tar can hold.
func tryLayer(entries []string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, entry := range entries {
		h, content := parseEntry(entry)
		if w.WriteHeader(h) == nil {
			io.WriteString(w, content)
		}
	}
	w.Close()
	return b.Bytes()
}

// checkMerge merges over a root with a link that leads out. What is there
// must make no difference.
func checkMerge(t *testing.T, with, without string, layers ...[]byte) {
	t.Helper()
	raw, err := tryMerge(with, layers...)
	other, otherErr := tryMerge(without, layers...)
	if !bytes.Equal(raw, other) || (err == nil) != (otherErr == nil) {
		t.Fatalf("what lies outside the root matters: %v, %v", err, otherErr)
	}
	if err == nil {
		checkDifference(t, raw)
	}
}

func tryMerge(root string, layers ...[]byte) ([]byte, error) {
	var b bytes.Buffer
	_, err := Merge(context.Background(), &b, root, opens(layers...), MergeOptions{})
	return b.Bytes(), err
}

func fuzzRoot(f *testing.F, outside bool) string {
	dir := f.TempDir()
	root := filepath.Join(dir, "root")
	files := []string{"root/f", "root/etc/f", "root/d/f"}
	if outside {
		files = append(files, "outside/secret", "outside/f")
	}
	for _, path := range files {
		must(f, os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755))
		must(f, os.WriteFile(filepath.Join(dir, path), []byte("1"), 0o644))
	}
	must(f, os.Symlink("../outside", filepath.Join(root, "out")))
	must(f, os.Symlink("../../outside", filepath.Join(root, "d/out")))
	return root
}

// checkDifference checks what holds of every difference.
func checkDifference(t *testing.T, raw []byte) {
	t.Helper()
	seen := make(map[string]bool)
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("reading what was written: %v", err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		parts := strings.Split(name, "/")
		if seen[name] || strings.HasPrefix(name, "/") || slices.Contains(parts, "..") || slices.Contains(parts, "") {
			t.Errorf("the name %q is there twice or leaves the root", h.Name)
		}
		for _, part := range parts {
			if strings.HasPrefix(part, whiteoutPrefix) {
				t.Errorf("the name %q is a whiteout", h.Name)
			}
		}
		if parent := filepath.Dir(name); parent != "." && !seen[parent] {
			t.Errorf("%q comes before its directory", h.Name)
		}
		if h.Typeflag == tar.TypeLink && !seen[h.Linkname] {
			t.Errorf("%q is a hard link to %q, which is not there", h.Name, h.Linkname)
		}
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, paxXattr+overlayXattr) && key != paxXattr+opaqueXattr {
				t.Errorf("%q has %s", h.Name, key)
			}
		}
		seen[name] = true
	}
}
