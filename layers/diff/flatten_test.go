//go:build integration

package diff

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/internal/treecmp"
)

// Directories that are renamed stay what they are, in the layer too.
func TestFlatten(t *testing.T) {
	for _, test := range []struct{ name, change string }{
		{"beside itself", `mv a z`},
		{"elsewhere", `mv a/b z`},
		{"into another", `mv a other/a`},
		{"changed inside", `mv a z; echo new >z/new; echo more >>z/b/file; rm z/b/gone; rm -r z/deep/er; chmod 700 z/b/empty`},
		{"onto a name that was deleted", `rm -r other; mv a other`},
		{"onto an empty directory", `mkdir other/e; mv -T a/b other/e`},
		{"twice", `mv a y; mv y z`},
		{"twice and elsewhere", `mv a y; mv y other/z`},
		{"a renamed directory's own", `mv a z; mv z/b z/y; mv z/y/empty top; mv top/sub z/sub`},
		{"into a renamed directory", `mv other z; mv a z/in/a; mv z y`},
		{"back again", `mv a z; mv z a; echo new >a/new; rm a/b/gone`},
		{"back to a directory made anew", `mv a/b z; rm -r a; mkdir -p a; mv z a/b`},
		{"each other's names", `mv a z; mv other a; mv z other`},
		{"out of a new directory", `mkdir new; mv a new/a; mv new new2; echo x >new2/a/b/file`},
		{"a new one at the old name", `mv a z; mkdir -p a/b; echo new >a/b/file`},
		{"a file at the old name", `mv a z; echo new >a`},
		{"deleted after all", `mv a z; rm -r z`},
		{"of both layers", `mv both z; rm z/lower; mv z/dir z/rid`},
		{"with names that are one file", `mv links z; echo more >>z/c`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStack(t, func(root string) {
				shell(t, root, `mkdir -p a/b/empty/sub a/deep/er/st other/in both/dir/one links/sub
					for f in a/b/file a/b/gone a/deep/er/file other/file both/lower both/dir/lower links/c; do echo $f >$f; done
					ln -s ../file a/b/link; mknod a/b/null c 1 3; mkfifo a/b/fifo; chown -h 7:8 a/b/link a/b/null a/b; chmod 4750 a/b/file
					touch -d 2001-02-03 a/b/* a/b a
					echo one >links/a; ln links/a links/b; ln links/a links/sub/a; ln links/c links/d`)
				for _, path := range []string{"a/b", "a/b/file"} {
					if err := unix.Setxattr(filepath.Join(root, path), "user.one", []byte("1"), 0); err != nil {
						t.Fatal(err)
					}
				}
			})
			layers := [][]byte{s.layer(s.root())}
			for _, change := range []string{`echo upper >both/upper; echo x >both/dir/upper; rm both/dir/lower`, test.change} {
				layers = append(layers, s.stage(func(root string) { shell(t, root, change) }))
			}
			s.view(func(got string) {
				compare(t, got, applyByContainerd(t, layers), treecmp.Options{SkipMtime: isRoot})
				if test.name == "with names that are one file" {
					checkSame(t, got, "z/a", "z/b", "z/sub/a")
				}
			})
		})
	}
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	if err := run("sh", "-e", "-c", `cd "$1" && eval "$2"`, "sh", dir, script); err != nil {
		t.Fatal(err)
	}
}

func checkSame(t *testing.T, root, first string, others ...string) {
	t.Helper()
	a, err := os.Lstat(filepath.Join(root, first))
	for _, other := range others {
		b, otherErr := os.Lstat(filepath.Join(root, other))
		if err != nil || otherErr != nil || !os.SameFile(a, b) {
			t.Errorf("%s and %s are not one file", first, other)
		}
	}
}

// An upper directory without renames is not mounted, and a mount that fails
// leaves it as it was.
func TestFlattenMountsWhenNeeded(t *testing.T) {
	upper := t.TempDir()
	mounted := 0
	mount := func(func(string) error) error { mounted++; return fmt.Errorf("no") }
	for _, name := range []string{"new/dir", "again"} {
		if err := os.MkdirAll(filepath.Join(upper, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(filepath.Join(upper, "again"), redirectXattr, []byte("again"), 0); err != nil {
		t.Fatal(err)
	}
	if err := Flatten(t.Context(), upper, mount); err != nil || mounted > 0 {
		t.Errorf("it was mounted %d times, error %v", mounted, err)
	}
	if err := unix.Setxattr(filepath.Join(upper, "new/dir"), redirectXattr, []byte("/old"), 0); err != nil {
		t.Fatal(err)
	}
	if err := Flatten(t.Context(), upper, mount); err == nil || mounted != 1 {
		t.Errorf("it was mounted %d times, error %v", mounted, err)
	}
}
