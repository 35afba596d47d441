//go:build integration

package owned

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const alice, bob = 4242, 4243

// TestOwners gives parts of a path to users. A checkout in a home, with a state
// directory that sudo made in it, is as good as any: its owner writes
// config.yml.
func TestOwners(t *testing.T) {
	for name, tt := range map[string]struct {
		owners map[string]int // by place
		want   string
	}{
		"a home of the owner of config.yml": {map[string]int{"home": alice, "home/checkout": alice, "home/checkout/.demo": alice}, ""},
		"a folder of another above":         {map[string]int{"home": alice, "home/checkout": bob}, "HOME/checkout, above it, belongs to user 4243"},
		"a home of another":                 {map[string]int{"home": bob}, "chown root: HOME`"},
		"its own of the owner":              {map[string]int{"home/checkout/.demo/state": alice}, "chown -R root: HOME/checkout/.demo/state`"},
		"a program":                         {map[string]int{"home/checkout/.demo/state/bin/shim": alice}, "chown -R root: HOME/checkout/.demo/state/bin/shim`"},
		"a folder in it":                    {map[string]int{"home/checkout/.demo/state/bin": bob}, "chown -R root: HOME/checkout/.demo/state/bin`"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			home := filepath.Join(top, "home")
			state := filepath.Join(home, "checkout/.demo/state")
			if err := os.MkdirAll(filepath.Join(state, "bin"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(state, "bin/shim"), nil, 0o755); err != nil {
				t.Fatal(err)
			}
			for place, uid := range tt.owners {
				if err := os.Chown(filepath.Join(top, place), uid, 0); err != nil {
					t.Fatal(err)
				}
			}
			want := strings.ReplaceAll(tt.want, "HOME", home)
			err := Make(state, alice)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

// TestGroupAndACL lets others write by ways that the mode hardly shows.
func TestGroupAndACL(t *testing.T) {
	const none = ^uint32(0)
	grant := acl(aclEntry{1, 7, none}, aclEntry{aclUser, 7, bob}, aclEntry{aclGroupObj, 5, none}, aclEntry{aclMask, 7, none}, aclEntry{aclOther, 5, none})
	for name, tt := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"group root":    {func(dir string) error { return os.Chmod(dir, 0o770) }, ""},
		"another group": {func(dir string) error { return errors.Join(os.Chown(dir, 0, 77), os.Chmod(dir, 0o770)) }, "the group 77 can write"},
		"an ACL":        {func(dir string) error { return unix.Setxattr(dir, "system.posix_acl_access", grant, 0) }, "setfacl -b"},
		"a default ACL": {func(dir string) error { return unix.Setxattr(dir, "system.posix_acl_default", grant, 0) }, "the user 4243 can write"},
		"an ACL above": {func(dir string) error {
			return unix.Setxattr(filepath.Dir(dir), "system.posix_acl_access", grant, 0)
		}, "above it"},
	} {
		t.Run(name, func(t *testing.T) {
			// An ACL needs a filesystem that has them.
			mnt := t.TempDir()
			if err := unix.Mount("none", mnt, "tmpfs", 0, "mode=755"); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(mnt, unix.MNT_DETACH)
			dir := filepath.Join(mnt, "above", "state")
			if err := errors.Join(os.MkdirAll(dir, 0o755), tt.change(dir)); err != nil {
				t.Fatal(err)
			}
			err := Check(dir)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestLinkInSharedDirectory: who made a link in /tmp can have it lead anywhere
// else a moment later.
func TestLinkInSharedDirectory(t *testing.T) {
	shared, good := t.TempDir(), t.TempDir()
	link := filepath.Join(shared, "link")
	if err := errors.Join(os.Chmod(shared, 0o777|os.ModeSticky), os.Symlink(good, link)); err != nil {
		t.Fatal(err)
	}
	if err := Check(link); err != nil {
		t.Errorf("root's link: %v", err)
	}
	if err := os.Lchown(link, bob, 0); err != nil {
		t.Fatal(err)
	}
	if err := Check(link, alice); err == nil || !strings.Contains(err.Error(), "name the directory itself") {
		t.Errorf("another's link: %v", err)
	}
}

// TestBindMount looks at what is mounted, not at what is below it.
func TestBindMount(t *testing.T) {
	dir, foreign := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chown(foreign, bob, 0), unix.Mount(foreign, dir, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := Check(dir); err == nil || !strings.Contains(err.Error(), "belongs to user 4243") {
		t.Errorf("error %v", err)
	}
}
