//go:build integration

package diff

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"vauban/internal/treecmp"
)

// awkwardStage does by hand what random changes do seldom.
func awkwardStage(t *testing.T) func(root string) {
	return func(root string) {
		at := func(name string) string { return filepath.Join(root, name) }
		for _, name := range awkward {
			must(t, os.WriteFile(at(name), []byte(name), 0o600))
			must(t, os.Symlink(name, at("l"+name[:min(len(name), 200)])))
		}
		must(t, os.WriteFile(at("tool"), []byte("#!"), 0o755))
		must(t, os.Chown(at("tool"), 1<<22, 1<<31))
		must(t, unix.Setxattr(at("tool"), "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
		must(t, unix.Setxattr(at("tool"), "user.binary", []byte("\x00=\n\xff"), 0))
		must(t, os.Link(at("tool"), at("tool again")))
		must(t, os.Symlink("/tool", at("link")))
		must(t, os.Link(at("link"), at("link again")))
		must(t, os.Mkdir(at("lists"), 0o2770))
		must(t, os.WriteFile(at("lists/before"), nil, 0o640))
		must(t, os.Mkdir(at("lists/dir"), 0o750))
		must(t, unix.Setxattr(at("lists"), accessACL, acl(7), 0))
		must(t, unix.Setxattr(at("lists"), defaultACL, acl(5), 0))
		must(t, os.WriteFile(at("lists/after"), nil, 0o640))
		must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(t, unix.Mknod(at("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 1<<19))))
		must(t, unix.Mkfifo(at("pipe"), 0o600))
		must(t, os.RemoveAll(at("old/gone")))
		must(t, os.RemoveAll(at("old/anew")))
		must(t, os.Mkdir(at("old/anew"), 0o755))
		must(t, os.Remove(at("old/file")))
		must(t, os.Mkdir(at("old/file"), 0o755))
		must(t, os.Lchown(at("old/owned"), 7, 8))
		must(t, os.WriteFile(at("sparse"), []byte("begin"), 0o644))
		must(t, os.Truncate(at("sparse"), 64<<20))
		must(t, os.Chtimes(at("sparse"), time.Unix(0, 0), time.Unix(1<<33, 999)))
	}
}

func awkwardRoot(t *testing.T) func(root string) {
	return func(root string) {
		for _, name := range (list{"old/gone/f", "old/anew/f", "old/file", "old/owned/f"}) {
			write(t, filepath.Join(root, name), []byte(name))
		}
	}
}

func TestAwkwardTree(t *testing.T) {
	s := newStack(t, awkwardRoot(t))
	layer := s.stage(awkwardStage(t))
	layers := [][]byte{s.layer(s.root()), layer}
	conffs, _ := s.merge([][]byte{layer}, MergeOptions{})
	s.view(func(want string) {
		compare(t, want, applyByContainerd(t, layers), treecmp.Options{SkipMtime: isRoot})
		compare(t, want, unpackByUmoci(t, layers), treecmp.Options{SkipMtime: isRoot})
		s.viewOf(list{conffs, s.root()}, func(got string) {
			compare(t, want, got, treecmp.Options{SkipMtime: isRoot})
		})
	})
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(conffs, "sparse"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes where it is unpacked", st.Blocks*512)
	}
}

// TestOpaqueOnlyWhereItHides: overlayfs marks new directories, too.
func TestOpaqueOnlyWhereItHides(t *testing.T) {
	upper := t.TempDir()
	for _, dir := range (list{"old", "old/anew", "old/new"}) {
		must(t, os.Mkdir(filepath.Join(upper, dir), 0o755))
	}
	for _, dir := range (list{"old/anew", "old/new"}) {
		must(t, unix.Setxattr(filepath.Join(upper, dir), opaqueXattr, []byte("y"), 0))
	}
	layer := writeLayer(t, upper, LayerOptions{LowerDir: func(path string) bool { return path == "old/anew" }})
	if diff := cmp.Diff(list{"old/", "old/anew/", "old/anew/.wh..wh..opq", "old/new/"}, order(t, layer)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestWriteLayerRefusesWhatOverlayfsMoved(t *testing.T) {
	for _, name := range (list{redirectXattr, metacopyXattr}) {
		upper := t.TempDir()
		write(t, filepath.Join(upper, "etc/file"), nil)
		must(t, unix.Setxattr(filepath.Join(upper, "etc/file"), name, []byte("x"), 0))
		_, err := WriteLayer(t.Context(), io.Discard, upper, LayerOptions{})
		if err == nil || !strings.Contains(err.Error(), `"etc/file"`) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that names the file and %s", err, name)
		}
	}
}

func TestWriteLayerRefusesAnAttributeThatTarCannotName(t *testing.T) {
	upper := t.TempDir()
	write(t, filepath.Join(upper, "file"), nil)
	must(t, unix.Setxattr(filepath.Join(upper, "file"), "user.a=b", []byte("x"), 0))
	_, err := WriteLayer(t.Context(), io.Discard, upper, LayerOptions{})
	if err == nil || !strings.Contains(err.Error(), `"user.a=b"`) {
		t.Errorf("error %v, want one that names the attribute", err)
	}
}

// TestSparseGigabyte: zeros are all that a layer has of holes.
func TestSparseGigabyte(t *testing.T) {
	upper := t.TempDir()
	write(t, filepath.Join(upper, "disk.img"), []byte("begin"))
	must(t, os.Truncate(filepath.Join(upper, "disk.img"), 1<<30))
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	stats, err := WriteLayer(t.Context(), z, upper, LayerOptions{})
	must(t, err)
	must(t, z.Close())
	if stats.Bytes != 1<<30 || b.Len() > 8<<20 {
		t.Errorf("%d bytes of content, %d compressed", stats.Bytes, b.Len())
	}
	t.Logf("compressed: %d bytes", b.Len())
}
