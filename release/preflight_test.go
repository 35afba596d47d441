package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckTree(t *testing.T) {
	file := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, test := range map[string]struct {
		prepare func(*testing.T, string)
		owner   string
		want    string // in the error; "" for none
	}{
		"no tree yet":             {},
		"a tree":                  {prepare: func(t *testing.T, dir string) { mustPublish(t, filepath.Join(dir, "pxe"), built(t, first, "one")) }},
		"a file in its place":     {prepare: file("pxe"), want: "is not a folder"},
		"a file above it":         {prepare: file("pxe"), want: "not a directory"},
		"a file for the pool":     {prepare: file("pxe/linux"), want: "is not a folder"},
		"a file for the master":   {prepare: file("pxe/" + master), want: "is not a folder"},
		"a file for its releases": {prepare: file("pxe/" + master + "/releases"), want: "is not a folder"},
		"a link to nothing": {prepare: func(t *testing.T, dir string) {
			if err := os.Symlink("nothing", filepath.Join(dir, "pxe")); err != nil {
				t.Fatal(err)
			}
		}, want: "link to nothing"},
		"a kernel's filesystem": {prepare: func(t *testing.T, dir string) {
			if err := os.Symlink("/proc/self", filepath.Join(dir, "pxe")); err != nil {
				t.Fatal(err)
			}
		}, want: "cannot be published in"},
		"an unknown owner": {owner: "no-such-user", want: "no such user"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tree := filepath.Join(dir, "pxe")
			if test.prepare != nil {
				test.prepare(t, dir)
			}
			if name == "a file above it" {
				tree = filepath.Join(tree, "below")
			}
			before := listing(t, dir)
			err := CheckTree(tree, test.owner, master)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
			if after := listing(t, dir); len(after) != len(before) {
				t.Errorf("it left %v where %v was", after, before)
			}
		})
	}
}

func TestCheckHost(t *testing.T) {
	for _, host := range []string{"web01", "web01.example.com", "10.0.0.1", "Web_1", strings.Repeat("a", 64)} {
		if err := CheckHost(host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, host := range []string{"", "2001:db8::1", "café", "a/b", ".web", "-web", "we b", "web\n", strings.Repeat("a", 65)} {
		if CheckHost(host) == nil {
			t.Errorf("%q is taken", host)
		}
	}
}
