//go:build integration

package diff

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/internal/treecmp"
)

// stack is a root filesystem with overlays upon it, as stages make them.
type stack struct {
	t     *testing.T
	dir   string
	lower []string // topmost first
}

// newStack makes the directory of a root filesystem and lets fill fill it.
func newStack(t *testing.T, fill func(root string)) *stack {
	t.Helper()
	s := &stack{t: t, dir: t.TempDir()}
	s.lower = []string{s.mkdir("root")}
	fill(s.lower[0])
	return s
}

func (s *stack) root() string { return s.lower[len(s.lower)-1] }

func (s *stack) mkdir(name string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// stage lets change change the tree through an overlay mount, and returns the
// layer that it makes.
func (s *stack) stage(change func(root string)) []byte {
	s.t.Helper()
	n := strconv.Itoa(len(s.lower))
	upper := s.mkdir("upper" + n)
	mounted := func(show func(string) error) (err error) {
		options := "lowerdir=" + strings.Join(s.lower, ":") + ",upperdir=" + upper + ",workdir=" + s.mkdir("work"+n)
		s.mounted(options+",redirect_dir=on", func(root string) { err = show(root) })
		return err
	}
	if err := mounted(func(root string) error { change(root); return nil }); err != nil {
		s.t.Fatal(err)
	}
	s.flatten(upper, mounted)
	layer := s.layer(upper)
	if again := s.layer(upper); !bytes.Equal(layer, again) {
		s.t.Error("two layers of one upper directory differ")
	}
	s.lower = slices.Insert(s.lower, 0, upper)
	return layer
}

// flatten makes sure that the tree stays as it is.
func (s *stack) flatten(upper string, mounted func(func(string) error) error) {
	s.t.Helper()
	before := filepath.Join(s.dir, "before")
	compare := func(string) {}
	err := Flatten(s.t.Context(), upper, func(show func(string) error) error {
		if err := run("cp", "-a", upper, before); err != nil {
			return err
		}
		compare = func(got string) {
			s.mounted("ro,redirect_dir=follow,lowerdir="+strings.Join(append([]string{before}, s.lower...), ":"), func(want string) {
				for _, d := range treecmp.Compare(want, got, treecmp.Options{SkipLinks: true}) {
					s.t.Errorf("flattening changed %s", d)
				}
			})
		}
		return mounted(show)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.viewOf(append([]string{upper}, s.lower...), compare)
	if err := os.RemoveAll(before); err != nil {
		s.t.Fatal(err)
	}
}

// layer writes the layer of an upper directory over what is there.
func (s *stack) layer(upper string) []byte {
	s.t.Helper()
	var b bytes.Buffer
	s.view(func(root string) {
		o := LayerOptions{LowerDir: func(path string) bool {
			info, err := os.Lstat(filepath.Join(root, path))
			return err == nil && info.IsDir()
		}}
		if _, err := WriteLayer(s.t.Context(), &b, upper, o); err != nil {
			s.t.Fatal(err)
		}
	})
	return b.Bytes()
}

// view shows the whole tree, read-only.
func (s *stack) view(fn func(root string)) { s.viewOf(s.lower, fn) }

// viewOf shows a stack of directories, which need not be two.
func (s *stack) viewOf(lower []string, fn func(root string)) {
	s.t.Helper()
	lower = append(slices.Clone(lower), s.mkdir("empty"))
	s.mounted("ro,redirect_dir=nofollow,lowerdir="+strings.Join(lower, ":"), fn)
}

func (s *stack) mounted(options string, fn func(root string)) {
	s.t.Helper()
	root, err := os.MkdirTemp(s.dir, "mount")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := unix.Mount("overlay", root, "overlay", 0, options+",index=off,metacopy=off"); err != nil {
		s.t.Fatalf("mounting an overlay with %s: %v", options, err)
	}
	defer func() {
		if err := unix.Unmount(root, 0); err != nil {
			s.t.Fatalf("unmounting %s: %v", root, err)
		}
	}()
	fn(root)
}

// merge makes the difference of layers, unpacks it as a machine that boots
// does, and returns the directory.
func (s *stack) merge(layers [][]byte, o MergeOptions) (string, Report) {
	s.t.Helper()
	var b bytes.Buffer
	report, err := Merge(s.t.Context(), &b, s.root(), opens(layers...), o)
	if err != nil {
		s.t.Fatal(err)
	}
	var again bytes.Buffer
	if _, err := Merge(context.Background(), &again, s.root(), opens(layers...), o); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		s.t.Errorf("the same difference has other bytes (%v)", err)
	}
	return s.unpack(b.Bytes()), report
}

func (s *stack) unpack(tar []byte) string {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.dir, "conffs")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), "tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", dir)
	cmd.Stdin = bytes.NewReader(tar)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("unpacking the difference: %v: %s", err, out)
	}
	return dir
}

// randomStack makes a tree and one to four stages upon it.
func randomStack(t *testing.T, seed uint64) (*stack, [][]byte) {
	t.Helper()
	source := rand.New(rand.NewPCG(seed, 0))
	change := func(n int) func(string) {
		return func(root string) {
			for range n {
				(&vandal{source, root}).change(t)
			}
		}
	}
	s := newStack(t, change(60))
	var layers [][]byte
	for range 1 + source.IntN(4) {
		layers = append(layers, s.stage(change(1+source.IntN(25))))
	}
	return s, layers
}
