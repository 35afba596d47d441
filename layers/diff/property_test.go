//go:build integration

package diff

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/internal/treecmp"
)

var (
	seeds     = flag.Int("diff.seeds", 40, "how many random trees to try")
	firstSeed = flag.Uint64("diff.seed", 1, "the first tree's seed")
)

// forSeeds runs a test on trees that are the same in every run.
func forSeeds(t *testing.T, test func(t *testing.T, seed uint64)) {
	for i := range *seeds {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) { test(t, seed) })
	}
}

// TestMergeGivesTheHostsTree lays the difference over the root filesystem, as
// a machine that boots does.
func TestMergeGivesTheHostsTree(t *testing.T) {
	forSeeds(t, func(t *testing.T, seed uint64) {
		s, layers := randomStack(t, seed)
		conffs, _ := s.merge(layers, MergeOptions{})
		has := func(path string) bool {
			_, err := os.Lstat(filepath.Join(conffs, path))
			return err == nil
		}
		o := treecmp.Options{
			Skip:      excluded(t),
			SkipMtime: func(path string) bool { return path == "." || !has(path) },
			SkipLinks: true, // of names that were dropped, see checkLinks
		}
		s.view(func(want string) {
			s.viewOf([]string{conffs, s.root()}, func(got string) {
				for _, d := range treecmp.Compare(want, got, o) {
					t.Error(d)
				}
			})
			checkLinks(t, want, conffs)
		})
		checkMinimal(t, conffs, s.root())
		if t.Failed() {
			t.Logf("to try again: -run %s/%d -diff.seed=%d", "TestMergeGivesTheHostsTree", seed, seed)
		}
	})
}

func excluded(t *testing.T) func(string) bool {
	g, err := ParseGlobs(DefaultExcludes())
	if err != nil {
		t.Fatal(err)
	}
	return g.Match
}

// checkLinks compares which names in the difference are one file with which
// of them are on the host.
func checkLinks(t *testing.T, host, conffs string) {
	t.Helper()
	byHost, byConffs := make(map[uint64]string), make(map[uint64]string)
	walk(t, conffs, func(path string, st *syscall.Stat_t) {
		var onHost syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(host, path), &onHost); err != nil || st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			return
		}
		a, okA := byHost[onHost.Ino]
		b, okB := byConffs[st.Ino]
		if a != b || okA != okB {
			t.Errorf("%q is one file with %q on the host, with %q in the difference", path, a, b)
		}
		if !okA {
			byHost[onHost.Ino], byConffs[st.Ino] = path, path
		}
	})
}

// checkMinimal looks for what the difference could do without.
func checkMinimal(t *testing.T, conffs, root string) {
	t.Helper()
	opaque := func(path string) bool {
		for p := filepath.Dir(path); p != "."; p = filepath.Dir(p) {
			n, err := unix.Lgetxattr(filepath.Join(conffs, p), opaqueXattr, make([]byte, 8))
			if err == nil && n > 0 {
				return true
			}
		}
		return false
	}
	compare := treecmp.Options{SkipMtime: func(string) bool { return true }, SkipLinks: true}
	walk(t, conffs, func(path string, st *syscall.Stat_t) {
		mine, below := filepath.Join(conffs, path), filepath.Join(root, path)
		info, err := os.Lstat(below)
		exists := err == nil && !opaque(path)
		switch {
		case path == ".":
		case st.Mode&syscall.S_IFMT == syscall.S_IFCHR && st.Rdev == 0:
			if !exists {
				t.Errorf("%q is deleted, but not there", path)
			}
		case !exists:
		case st.Mode&syscall.S_IFMT == syscall.S_IFDIR:
			entries, err := os.ReadDir(mine)
			n, _ := unix.Lgetxattr(mine, opaqueXattr, make([]byte, 8))
			shallow := compare
			shallow.Skip = func(path string) bool { return path != "." }
			if err == nil && len(entries) == 0 && n <= 0 && info.IsDir() && len(treecmp.Compare(mine, below, shallow)) == 0 {
				t.Errorf("the directory %q is as it was", path)
			}
		case len(treecmp.Compare(mine, below, compare)) == 0:
			t.Errorf("%q is as it was", path)
		}
	})
}

func walk(t *testing.T, root string, fn func(path string, st *syscall.Stat_t)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fn(relative(root, path), info.Sys().(*syscall.Stat_t))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func relative(root, path string) string {
	if path == root {
		return "."
	}
	return strings.TrimPrefix(path, root+"/")
}
