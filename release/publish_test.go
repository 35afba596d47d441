package release

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const (
	master  = "master-12-web"
	version = "6.1.0-25-amd64"
	first   = "2026-11-20T211348Z"
	second  = "2026-11-20T211349Z"
)

func image(name string) digest.Digest { return digest.FromString(name) }

// built writes files of the given content and returns what a run that built
// all of them would publish.
func built(t *testing.T, timestamp, content string, hosts ...string) Release {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name+" "+content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	r := Release{
		Master: master, Timestamp: timestamp, Tool: "vauban test",
		Kernel: &BuiltKernel{Version: version, Vmlinuz: file("k"), Initramfs: file("i")},
		Rootfs: &BuiltRootfs{Path: file("r"), Image: image("master " + content), Kernels: []string{version}},
		Conffs: map[string]BuiltConffs{},
	}
	for _, h := range hosts {
		r.Conffs[h] = BuiltConffs{Path: file("c-" + h), Image: image(h + content), Master: image("master " + content)}
	}
	return r
}

func mustPublish(t *testing.T, dir string, r Release) *Published {
	t.Helper()
	p, err := Publish(t.Context(), dir, r, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// listing returns the whole tree: what each name is, with its mode or target.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		got[name] = info.Mode().String()
		if info.Mode().Type() == fs.ModeSymlink {
			got[name], err = os.Readlink(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func short(content string) string { return fmt.Sprintf("%.12x", sha256.Sum256([]byte(content)))[:12] }

func TestPublishTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "srv", "pxe")
	p := mustPublish(t, dir, built(t, first, "one", "web01", "db.example.com"))
	release := master + "/releases/" + first
	const dirMode, fileMode = "drwxr-xr-x", "-rw-r--r--"
	k, i := "vmlinuz."+version+"-"+short("k one"), "initramfs.img."+version+"-"+short("i one")
	want := map[string]string{
		".": dirMode, ".lock": fileMode, "linux": dirMode, master: dirMode, master + "/releases": dirMode, release: dirMode,
		"linux/" + k: fileMode, "linux/" + i: fileMode,
		"linux/vmlinuz." + version:             k,
		"linux/initramfs.img." + version:       i,
		release + "/rootfs.squashfs":           fileMode,
		release + "/conffs-web01.tgz":          fileMode,
		release + "/conffs-db.example.com.tgz": fileMode,
		release + "/SHA256SUMS":                fileMode,
		release + "/manifest.json":             fileMode,
		release + "/vmlinuz":                   "../../../linux/" + k,
		release + "/initramfs.img":             "../../../linux/" + i,
		master + "/current":                    "releases/" + first,
		master + "/rootfs.squashfs":            "current/rootfs.squashfs",
		master + "/rootfs.tgz":                 "current/rootfs.squashfs",
		master + "/vmlinuz":                    "current/vmlinuz",
		master + "/initramfs.img":              "current/initramfs.img",
		master + "/conffs-web01.tgz":           "current/conffs-web01.tgz",
		master + "/conffs-db.example.com.tgz":  "current/conffs-db.example.com.tgz",
	}
	if diff := cmp.Diff(want, listing(t, dir)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	for name, content := range map[string]string{"rootfs.tgz": "r one", "vmlinuz": "k one", "conffs-web01.tgz": "c-web01 one"} {
		if got, err := os.ReadFile(filepath.Join(dir, master, name)); err != nil || string(got) != content {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, content)
		}
	}
	if err := p.Verify(); err != nil {
		t.Error(err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, release, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Sums != digest.FromBytes(sums) {
		t.Errorf("Sums is %s, SHA256SUMS has %s", p.Sums, digest.FromBytes(sums))
	}
	for _, line := range []string{"rootfs.squashfs", "conffs-web01.tgz", "conffs-db.example.com.tgz", "vmlinuz", "initramfs.img", "manifest.json"} {
		if !strings.Contains(string(sums), "  "+line+"\n") {
			t.Errorf("SHA256SUMS lacks %q:\n%s", line, sums)
		}
	}
}

func TestPublishOwnNames(t *testing.T) {
	// A nested master's links lead as many directories up.
	dir := t.TempDir()
	r := built(t, first, "one")
	r.Master = "debian/12/web"
	p := mustPublish(t, dir, r)
	if err := p.Verify(); err != nil {
		t.Error(err)
	}
	if _, err := os.ReadFile(filepath.Join(dir, r.Master, "vmlinuz")); err != nil {
		t.Error(err)
	}
}

func TestPublishReadBack(t *testing.T) {
	dir := t.TempDir()
	p := mustPublish(t, dir, built(t, first, "one", "web01"))
	got, err := Current(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("Current (-published +read):\n%s", diff)
	}
	if _, err := Current(dir, "other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Current of an unpublished master: %v, want not exist", err)
	}
}

// onlyConffs makes a release of what a run built that built conffs alone, on
// the image of an earlier rootfs.
func onlyConffs(r Release, rootfs string) Release {
	r.Kernel, r.Rootfs = nil, nil
	for host, c := range r.Conffs {
		c.Master = image("master " + rootfs)
		r.Conffs[host] = c
	}
	return r
}

func TestPublishTakesTheRestFromTheReleaseBefore(t *testing.T) {
	dir := t.TempDir()
	one := mustPublish(t, dir, built(t, first, "one", "web01", "web02"))
	two := mustPublish(t, dir, onlyConffs(built(t, second, "two", "web02"), "one"))

	if diff := cmp.Diff(one.Rootfs, two.Rootfs); diff != "" {
		t.Errorf("rootfs (-one +two):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"conffs-web01.tgz", "rootfs.squashfs"}, two.Linked); diff != "" {
		t.Errorf("linked (-want +got):\n%s", diff)
	}
	for name, same := range map[string]bool{"rootfs.squashfs": true, "conffs-web01.tgz": true, "conffs-web02.tgz": false, "vmlinuz": true} {
		a, errA := os.Stat(filepath.Join(one.Dir, name))
		b, errB := os.Stat(filepath.Join(two.Dir, name))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if os.SameFile(a, b) != same {
			t.Errorf("%s is one file in both releases: %v, want %v", name, !same, same)
		}
	}
}

func TestPublishUnchanged(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one", "web01"))
	before := listing(t, dir)
	p := mustPublish(t, dir, built(t, second, "one", "web01"))
	if !p.Unchanged || p.Timestamp != first {
		t.Errorf("a set that is served: unchanged %v, release %s; want true, %s", p.Unchanged, p.Timestamp, first)
	}
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Errorf("tree (-before +after):\n%s", diff)
	}
}

func TestPublishUnchangedRepairsDamage(t *testing.T) {
	dir := t.TempDir()
	one := mustPublish(t, dir, built(t, first, "one"))
	damage(t, filepath.Join(one.Dir, "rootfs.squashfs"))
	two := mustPublish(t, dir, built(t, second, "one"))
	if two.Unchanged || len(two.Linked) > 0 {
		t.Errorf("unchanged %v, linked %q: a damaged file was used again", two.Unchanged, two.Linked)
	}
	if err := two.Verify(); err != nil {
		t.Error(err)
	}
}

func TestPublishTakesNothingDamagedFromTheReleaseBefore(t *testing.T) {
	for name, command := range map[string]string{
		"rootfs.squashfs":  "vauban build master-12-web --stage rootfs",
		"conffs-web01.tgz": "vauban build master-12-web --stage conffs --limit web01",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			one := mustPublish(t, dir, built(t, first, "one", "web01", "web02"))
			damage(t, filepath.Join(one.Dir, name))
			_, err := Publish(t.Context(), dir, onlyConffs(built(t, second, "two", "web02"), "one"), TreeOptions{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), command) {
				t.Errorf("the error is %v, want one that says %q", err, command)
			}
			if now, err := Current(dir, master); err != nil || now.Timestamp != first {
				t.Errorf("served is %+v (%v), want %s", now, err, first)
			}
		})
	}
}

func damage(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPublishTakesNextFreeSecond(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one"))
	if p := mustPublish(t, dir, built(t, first, "two")); p.Timestamp != second {
		t.Errorf("the second release of one second is %s, want %s", p.Timestamp, second)
	}
}

func TestPublishHosts(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one", "web01", "web02", "gone"))
	next := onlyConffs(built(t, second, "two", "web02"), "one")
	next.Hosts, next.RemoveHosts = []string{"web01", "web02", "failed"}, true
	p := mustPublish(t, dir, next)
	if diff := cmp.Diff([]string{"web01", "web02"}, slices.Sorted(maps.Keys(p.Hosts))); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if _, err := os.Lstat(filepath.Join(dir, master, "conffs-gone.tgz")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link of a host that is gone: %v, want not exist", err)
	}
}

func TestPublishNewestKernelLink(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one"))
	mustPublish(t, dir, built(t, second, "two"))
	got, err := os.Readlink(filepath.Join(dir, "linux", "vmlinuz."+version))
	if want := "vmlinuz." + version + "-" + short("k two"); err != nil || got != want {
		t.Errorf("newest is %q, %v; want %q", got, err, want)
	}
	if old, err := os.ReadFile(filepath.Join(dir, "linux", "vmlinuz."+version+"-"+short("k one"))); err != nil || string(old) != "k one" {
		t.Errorf("the kernel before holds %q, %v", old, err)
	}
}

func TestPublishCancelled(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	steps := TreeOptions{step: func(what string) error {
		if what == "rename release" {
			cancel()
		}
		return nil
	}}
	mustPublish(t, dir, built(t, first, "one"))
	_, err := Publish(ctx, dir, built(t, second, "two"), steps)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	wantServed(t, dir, first)
}

func TestPublishWaitsForTheLock(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one"))
	held, err := openTree(t.Context(), dir, false, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer held.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Publish(ctx, dir, built(t, second, "two"), TreeOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context that ended while waiting", err)
	}
}

// wantServed checks that a release is served and whole, each of its links
// included, and that nothing unfinished is left in the tree.
func wantServed(t *testing.T, dir, timestamp string) {
	t.Helper()
	wantWhole(t, dir, timestamp)
	for name := range listing(t, dir) {
		if base := filepath.Base(name); strings.HasPrefix(base, unfinished) || base == unserved {
			t.Errorf("%s was left", name)
		}
	}
}

// wantWhole checks that one of the releases is served, with all its files at
// the end of the links that clients use.
func wantWhole(t *testing.T, dir string, timestamps ...string) {
	t.Helper()
	p, err := Current(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(timestamps, p.Timestamp) {
		t.Errorf("%s is served, want one of %s", p.Timestamp, timestamps)
	}
	if err := p.Verify(); err != nil {
		t.Error(err)
	}
	for _, f := range append(p.files(), File{Name: articleName, Digest: p.Rootfs.Digest}) {
		if err := verify(filepath.Join(dir, master, f.Name), f); err != nil {
			t.Error(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
