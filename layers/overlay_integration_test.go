//go:build integration

package layers

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// stack makes layers the way the engine does: each change works on an overlay
// mount of those before. The result is what a container's parent looks like.
func stack(t *testing.T, changes ...func(root string) error) overlay {
	t.Helper()
	dir := t.TempDir()
	layer := func(i int, sub string) string {
		path := filepath.Join(dir, string(rune('a'+i)), sub)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o := overlay{lower: []string{layer(0, "empty")}}
	for i, change := range changes {
		o.upper, o.work = layer(i, "upper"), layer(i, "work")
		root := layer(i, "root")
		if err := mount.All(o.mounts(false), root); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(change(root), unix.Unmount(root, 0)); err != nil {
			t.Fatal(err)
		}
		o.lower = append([]string{o.upper}, o.lower...)
	}
	o.upper, o.work = layer(len(changes), "upper"), layer(len(changes), "work")
	return o
}

// files gives a change that makes files and the directories above them.
func files(names ...string) func(string) error {
	return func(root string) error {
		for _, name := range names {
			path := filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644)); err != nil {
				return err
			}
		}
		return nil
	}
}

// in gives a change of what is already there.
func in(change func(at func(string) string) error) func(string) error {
	return func(root string) error {
		return change(func(name string) string { return filepath.Join(root, name) })
	}
}

// What is looked up in the layers is what an overlay mount of them shows.
func TestInLowerSeesWhatAMountShows(t *testing.T) {
	o := stack(t,
		files("kept", "gone", "dir/kept", "dir/gone", "opaque/old", "opaque/sub/old", "to-file/in", "to-dir", "to-link/in", "deep/er/file", "again"),
		in(func(at func(string) string) error {
			return errors.Join(
				os.Remove(at("gone")), os.Remove(at("dir/gone")),
				os.RemoveAll(at("opaque")), os.MkdirAll(at("opaque/sub"), 0o755), os.WriteFile(at("opaque/new"), nil, 0o644),
				os.RemoveAll(at("to-file")), os.WriteFile(at("to-file"), nil, 0o644),
				os.Remove(at("to-dir")), os.MkdirAll(at("to-dir/in"), 0o755),
				os.RemoveAll(at("to-link")), os.Symlink("dir", at("to-link")),
				os.RemoveAll(at("deep")), os.Remove(at("again")),
				unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		}),
		files("again", "top/file", "dir/top"),
	)
	// A view: the upperdir holds nothing.
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mount.All(o.mounts(false), root); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(root, 0)
	seen := 0
	for _, path := range []string{
		"kept", "gone", "dir", "dir/kept", "dir/gone", "dir/top", "dir/nothing", "opaque", "opaque/old", "opaque/new", "opaque/sub", "opaque/sub/old",
		"to-file", "to-file/in", "to-dir", "to-dir/in", "to-link", "to-link/in", "to-link/kept", "deep", "deep/er", "deep/er/file",
		"again", "null", "null/in", "top/file", "nothing", "nothing/at/all", "/kept", "dir/../kept", "dir//kept/",
	} {
		want, wantErr := lstatNoFollow(root, path)
		got, found, err := o.inLower(path)
		if errors.Is(err, fs.ErrNotExist) != (wantErr != nil) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error %v, want %v", path, err, wantErr)
			continue
		}
		if err != nil {
			continue
		}
		seen++
		if got.Mode() != want.Mode() || !got.IsDir() && got.Size() != want.Size() {
			t.Errorf("%s: %v of %d bytes, want %v of %d", path, got.Mode(), got.Size(), want.Mode(), want.Size())
		}
		if info, err := os.Lstat(found); err != nil || !os.SameFile(info, got) {
			t.Errorf("%s is not at %s: %v", path, found, err)
		}
	}
	if seen != 17 {
		t.Errorf("%d of the paths exist", seen)
	}
}

// lstatNoFollow follows no link on the way either.
func lstatNoFollow(root, path string) (info fs.FileInfo, err error) {
	at := root
	for _, name := range strings.Split(filepath.Clean(path), "/") {
		if info != nil && !info.IsDir() {
			return nil, fs.ErrNotExist
		}
		at = filepath.Join(at, name)
		if info, err = os.Lstat(at); err != nil {
			return nil, err
		}
	}
	return info, nil
}

func TestOverlayCleansMountPoints(t *testing.T) {
	o := stack(t, files("proc/kept", "var/cache/file"))
	for _, dir := range []string{"dev/pts", "proc", "sys", "run", "var/cache/apt", "var/lib/apt/lists", "used/by/step"} {
		if err := os.MkdirAll(filepath.Join(o.upper, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := files("run/left", "used/by/step/file")(o.upper); err != nil {
		t.Fatal(err)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: filepath.Join(o.upper, "used/socket")}); err != nil {
		t.Fatal(err)
	}
	sockets, err := o.clean([]string{"dev", "dev/pts", "proc", "sys", "run", "var/cache/apt", "var/lib/apt/lists"})
	if err != nil || !slices.Equal(sockets, []string{"/used/socket"}) {
		t.Errorf("sockets %q, error %v", sockets, err)
	}
	var left []string
	err = filepath.WalkDir(o.upper, func(path string, _ fs.DirEntry, err error) error {
		left = append(left, strings.TrimPrefix(path, o.upper))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// What the parent has may stay: it says what the parent says.
	want := []string{"", "/proc", "/run", "/run/left", "/used", "/used/by", "/used/by/step", "/used/by/step/file", "/var", "/var/cache"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Error(diff)
	}
}

func TestParseOverlay(t *testing.T) {
	for name, test := range map[string]struct {
		mounts []mount.Mount
		want   overlay
		fails  bool
	}{
		"several layers": {[]mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"index=off", "workdir=/s/3/work", "upperdir=/s/3/fs", "lowerdir=/s/2/fs:/s/1/fs"}}},
			overlay{upper: "/s/3/fs", work: "/s/3/work", lower: []string{"/s/2/fs", "/s/1/fs"}}, false},
		"a view":              {[]mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/s/2/fs:/s/1/fs"}}}, overlay{}, true},
		"a bind mount":        {[]mount.Mount{{Type: "bind", Source: "/s/1/fs"}}, overlay{}, true},
		"another snapshotter": {[]mount.Mount{{Type: "bind"}, {Type: "overlay"}}, overlay{}, true},
		"nothing":             {nil, overlay{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseOverlay(test.mounts)
			if (err != nil) != test.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(overlay{})); !test.fails && diff != "" {
				t.Error(diff)
			}
		})
	}
}
