package owned

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// at makes a folder below a new one.
func at(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(append([]string{t.TempDir()}, names...)...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustChmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestMakeMakes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := Check(dir); err != nil {
		t.Errorf("a directory that is not there: %v", err)
	}
	if err := Make(dir); err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", made, info, err)
		}
	}
	if err := Make(dir); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// TestWritable makes parts of a directory writable by others.
func TestWritable(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(dir string)
		want   string // what the error says below the directory, "" for none
	}{
		"nothing":           {func(string) {}, ""},
		"readable":          {func(dir string) { mustChmod(t, dir, 0o755) }, ""},
		"itself":            {func(dir string) { mustChmod(t, dir, 0o777) }, "chmod go-w DIR`"},
		"itself and sticky": {func(dir string) { mustChmod(t, dir, 0o777|os.ModeSticky) }, "chmod go-w DIR`"},
		"above":             {func(dir string) { mustChmod(t, filepath.Dir(dir), 0o757) }, "chmod go-w PARENT`"},
		"above and sticky":  {func(dir string) { mustChmod(t, filepath.Dir(dir), 0o777|os.ModeSticky) }, ""},
		"a program":         {func(dir string) { mustChmod(t, filepath.Join(dir, "bin", "shim"), 0o757) }, "chmod go-w DIR/bin/shim`"},
		"a database":        {func(dir string) { mustChmod(t, filepath.Join(dir, "lock"), 0o602) }, "chmod go-w DIR/lock`"},
		"releases":          {func(dir string) { mustChmod(t, filepath.Join(dir, "published"), 0o777) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := at(t, "above", "state")
			for _, sub := range []string{"bin", "published"} {
				if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, file := range []string{"lock", "bin/shim"} {
				if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			tt.change(dir)
			err := Check(dir)
			want := strings.NewReplacer("DIR", dir, "PARENT", filepath.Dir(dir)).Replace(tt.want)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

// TestLinks: a link leads to what is checked, wherever that is.
func TestLinks(t *testing.T) {
	good, bad := at(t, "good"), at(t, "open", "bad")
	mustChmod(t, filepath.Dir(bad), 0o777)
	links := t.TempDir()
	for name, to := range map[string]string{
		"good": good, "bad": bad, "loop": "loop", "relative": "../" + filepath.Base(links) + "/good",
	} {
		if err := os.Symlink(to, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, refused := range map[string]string{"good": "", "relative": "", "bad": filepath.Dir(bad), "loop": "too many levels"} {
		err := Check(filepath.Join(links, name))
		if (err == nil) != (refused == "") || err != nil && !strings.Contains(err.Error(), refused) {
			t.Errorf("%s: error %v, want %q", name, err, refused)
		}
	}
}

func TestFileIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Make(file); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("error %v", err)
	}
}

// acl writes entries of tag, permissions and id as the kernel has them.
func acl(entries ...aclEntry) []byte {
	value := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		value = binary.LittleEndian.AppendUint16(value, e.tag)
		value = binary.LittleEndian.AppendUint16(value, e.perm)
		value = binary.LittleEndian.AppendUint32(value, e.id)
	}
	return value
}

func TestACLWriters(t *testing.T) {
	const none = ^uint32(0)
	owner, other := aclEntry{1, 7, none}, aclEntry{aclOther, 0, none}
	for want, entries := range map[string][]aclEntry{
		"":               {owner, {aclUser, 7, 12}, {aclGroupObj, 5, none}, {aclMask, 5, none}, other},
		"the user 12":    {owner, {aclUser, 7, 12}, {aclGroupObj, 5, none}, {aclMask, 7, none}, other},
		"the group 13":   {owner, {aclUser, 7, 1}, {aclGroupObj, 5, none}, {aclGroup, 2, 13}, {aclMask, 7, none}, other},
		"the group 14":   {owner, {aclGroupObj, 2, none}, {aclMask, 2, none}, other},
		"every user":     {owner, {aclGroupObj, 0, none}, {aclOther, 2, none}},
		"the user 12345": {owner, {aclUser, 2, 12345}, {aclGroupObj, 0, none}, {aclMask, 7, none}, other},
	} {
		parsed, err := parseACL(acl(entries...))
		if got := aclWriters(parsed, 14, []int{0, 1}); err != nil || got != want {
			t.Errorf("%v: %q, %v; want %q", entries, got, err, want)
		}
	}
}

func FuzzParseACL(f *testing.F) {
	f.Add(acl(aclEntry{aclUser, 7, 12}))
	f.Add([]byte{2, 0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		entries, err := parseACL(value)
		if err == nil && len(entries) != (len(value)-4)/8 {
			t.Errorf("%d entries of %d bytes", len(entries), len(value))
		}
		aclWriters(entries, 1, nil)
	})
}
