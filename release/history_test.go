package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const third = "2026-11-20T211350Z"

// history returns a tree with three releases, the last one served.
func history(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one", "web01", "old"))
	two := built(t, second, "two", "web01", "new")
	two.Hosts, two.RemoveHosts = []string{"web01", "new"}, true
	mustPublish(t, dir, two)
	three := built(t, third, "three", "web01")
	three.Hosts, three.RemoveHosts = []string{"web01"}, true
	mustPublish(t, dir, three)
	return dir
}

func names(releases []*Published) (all []string) {
	for _, p := range releases {
		all = append(all, fmt.Sprint(p.Timestamp, " ", p.Served))
	}
	return all
}

func wantReleases(t *testing.T, dir string, want ...string) {
	t.Helper()
	all, err := Releases(dir, master)
	must(t, err)
	if diff := cmp.Diff(want, names(all)); diff != "" {
		t.Errorf("releases (-want +got):\n%s", diff)
	}
}

func TestReleases(t *testing.T) {
	dir := history(t)
	wantReleases(t, dir, third+" true", second+" false", first+" false")
	damage(t, filepath.Join(dir, master, "releases", second, "SHA256SUMS"))
	all, err := Releases(dir, master)
	if diff := cmp.Diff([]string{third + " true", first + " false"}, names(all)); diff != "" || err == nil {
		t.Errorf("with a damaged release: %v (-want +got):\n%s", err, diff)
	}
}

func TestReleasesManifestOfAnother(t *testing.T) {
	dir := history(t)
	releases := filepath.Join(dir, master, "releases")
	must(t, os.RemoveAll(filepath.Join(releases, first)))
	must(t, os.Rename(filepath.Join(releases, second), filepath.Join(releases, first)))
	if _, err := Rollback(t.Context(), dir, master, first, TreeOptions{}); err == nil {
		t.Error("a release under another's name was served")
	}
}

func TestRollback(t *testing.T) {
	dir := history(t)
	p, err := Rollback(t.Context(), dir, master, "", TreeOptions{})
	must(t, err)
	if p.Timestamp != second || !p.Served {
		t.Errorf("rolled back to %s, served %v; want %s", p.Timestamp, p.Served, second)
	}
	wantServed(t, dir, second)
	wantReleases(t, dir, third+" false", second+" true", first+" false")

	_, err = Rollback(t.Context(), dir, master, first, TreeOptions{})
	must(t, err)
	wantServed(t, dir, first)
	for name, there := range map[string]bool{"conffs-old.tgz": true, "conffs-new.tgz": false} {
		if _, err := os.Lstat(filepath.Join(dir, master, name)); (err == nil) != there {
			t.Errorf("%s is there: %v, want %v", name, !there, there)
		}
	}
	if _, err := Rollback(t.Context(), dir, master, "", TreeOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rolling back the oldest release: %v, want not exist", err)
	}
	if _, err := Rollback(t.Context(), dir, master, third, TreeOptions{}); err != nil {
		t.Errorf("forward again: %v", err)
	}
}

func TestRollbackRefuses(t *testing.T) {
	dir := history(t)
	damage(t, filepath.Join(dir, master, "releases", second, "rootfs.squashfs"))
	for release, want := range map[string]error{second: ErrDamaged, "2020-01-01T000000Z": fs.ErrNotExist, "../..": fs.ErrNotExist} {
		if _, err := Rollback(t.Context(), dir, master, release, TreeOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", release, err, want)
		}
	}
	wantServed(t, dir, third)
}

func TestPrune(t *testing.T) {
	dir := history(t)
	other := built(t, first, "one")
	other.Master = "other/nested"
	mustPublish(t, dir, other) // uses the oldest kernel
	_, err := Rollback(t.Context(), dir, master, second, TreeOptions{})
	must(t, err)

	options := PruneOptions{Masters: []string{master}, Keep: 0, DryRun: true}
	before := listing(t, dir)
	would, err := Prune(t.Context(), dir, options, TreeOptions{})
	must(t, err)
	if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
		t.Errorf("a dry run has changed the tree:\n%s", diff)
	}
	options.DryRun = false
	pruned, err := Prune(t.Context(), dir, options, TreeOptions{})
	must(t, err)
	if diff := cmp.Diff(would, pruned); diff != "" {
		t.Errorf("the dry run said otherwise (-would +pruned):\n%s", diff)
	}
	want := Pruned{
		Releases: []string{master + "/" + third, master + "/" + first},
		Pool:     []string{"initramfs.img." + version + "-" + short("i three"), "vmlinuz." + version + "-" + short("k three")},
	}
	if diff := cmp.Diff(want, pruned); diff != "" {
		t.Errorf("pruned (-want +got):\n%s", diff)
	}
	wantServed(t, dir, second)
	wantReleases(t, dir, second+" true")
	p, err := Current(dir, other.Master)
	must(t, err)
	must(t, p.Verify())
	// The newest link led to a file that went.
	if _, err := os.Stat(filepath.Join(dir, "linux", "vmlinuz."+version)); err != nil {
		t.Error(err)
	}
}

func TestPruneKeeps(t *testing.T) {
	for keep, want := range map[int][]string{
		-1: {third + " true"}, 1: {third + " true"}, 2: {third + " true", second + " false"},
		9: {third + " true", second + " false", first + " false"},
	} {
		dir := history(t)
		_, err := Prune(t.Context(), dir, PruneOptions{Masters: []string{master}, Keep: keep}, TreeOptions{})
		must(t, err)
		wantReleases(t, dir, want...)
	}
}

func TestPruneLastOfAVersion(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one"))
	newer := built(t, second, "two")
	newer.Kernel.Version, newer.Rootfs.Kernels = "6.1.0-26-amd64", []string{"6.1.0-26-amd64"}
	mustPublish(t, dir, newer)
	_, err := Prune(t.Context(), dir, PruneOptions{Masters: []string{master}, Keep: 1}, TreeOptions{})
	must(t, err)
	entries, err := os.ReadDir(filepath.Join(dir, "linux"))
	must(t, err)
	if len(entries) != 4 {
		t.Errorf("the pool holds %v, want two files and their links", entries)
	}
}

func TestPruneInterrupted(t *testing.T) {
	steps := 0
	_, err := Prune(t.Context(), history(t), PruneOptions{Masters: []string{master}, Keep: 0}, TreeOptions{step: func(string) error { steps++; return nil }})
	must(t, err)
	broken := errors.New("the disk is gone")
	for at := range steps {
		dir, n := history(t), 0
		_, err := Prune(t.Context(), dir, PruneOptions{Masters: []string{master}, Keep: 0}, TreeOptions{step: func(string) error {
			if n++; n == at+1 {
				return broken
			}
			return nil
		}})
		if !errors.Is(err, broken) {
			t.Fatalf("error %v", err)
		}
		wantServed(t, dir, third)
		_, err = Prune(t.Context(), dir, PruneOptions{Masters: []string{master}, Keep: 0}, TreeOptions{})
		must(t, err)
		wantServed(t, dir, third)
		wantReleases(t, dir, third+" true")
	}
}

func TestPruneUnpublished(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one"))
	options := PruneOptions{Masters: []string{"other"}, Keep: 0}
	for _, dir := range []string{dir, filepath.Join(dir, "none")} {
		if pruned, err := Prune(t.Context(), dir, options, TreeOptions{}); err != nil || len(pruned.Releases)+len(pruned.Pool) > 0 {
			t.Errorf("pruned %v, %v; want nothing", pruned, err)
		}
	}
	wantServed(t, dir, first)
}

// A master whose first publisher died has no release, which keeps nobody from
// pruning the others.
func TestPruneNeverServed(t *testing.T) {
	dir := history(t)
	dead := filepath.Join(dir, "dead", releasesName, first)
	must(t, os.MkdirAll(dead, 0o755))
	must(t, os.WriteFile(filepath.Join(dead, unserved), nil, 0o644))
	_, err := Prune(t.Context(), dir, PruneOptions{Masters: []string{"dead", master}, Keep: 1}, TreeOptions{})
	must(t, err)
	wantReleases(t, dir, third+" true")
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a dead publisher left is still there: %v", err)
	}
}
