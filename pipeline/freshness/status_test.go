package freshness

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/release"
)

// publishRelease makes a release of the master web in the tree at dir.
func publishRelease(t *testing.T, dir, timestamp string, hosts ...string) *release.Published {
	t.Helper()
	files := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(files, name)
		if err := os.WriteFile(path, []byte(name+timestamp), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	master := digest.FromString(timestamp)
	r := release.Release{Master: "web", Timestamp: timestamp, Hosts: hosts, RemoveHosts: true, Conffs: map[string]release.BuiltConffs{},
		Kernel: &release.BuiltKernel{Version: "6.1.0", Vmlinuz: file("k"), Initramfs: file("i")},
		Rootfs: &release.BuiltRootfs{Path: file("r"), Image: master, Kernels: []string{"6.1.0"}}}
	for _, host := range hosts {
		r.Conffs[host] = release.BuiltConffs{Path: file(host), Image: digest.FromString(host), Master: master}
	}
	p, err := release.Publish(t.Context(), dir, r, release.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublishedStatus(t *testing.T) {
	const first, second, third = "2026-11-20T211348Z", "2026-11-20T211349Z", "2026-11-20T211350Z"
	dir := t.TempDir()
	status := func(want *PublishedStatus) {
		t.Helper()
		got, err := publishedNow(dir, "web")
		if err != nil {
			t.Fatal(err)
		}
		if got != nil && got.RolledBack != nil {
			got.RolledBack = &release.Pin{Release: got.RolledBack.Release, From: got.RolledBack.From}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
	}
	status(nil)
	publishRelease(t, dir, first, "h1")
	publishRelease(t, dir, second, "h1")
	status(&PublishedStatus{Release: second})
	if _, err := release.Rollback(t.Context(), dir, "web", "", release.TreeOptions{}); err != nil {
		t.Fatal(err)
	}
	publishRelease(t, dir, third, "h1")
	status(&PublishedStatus{Release: first, RolledBack: &release.Pin{Release: first, From: second}, Candidates: []string{third}})
	if err := os.Remove(filepath.Join(dir, "web", "releases", first, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := publishedNow(dir, "web"); !errors.Is(err, release.ErrDamaged) {
		t.Errorf("a damaged release: error %v", err)
	}
}

// A host that the inventory no longer has is gone for as long as the release
// has it.
func TestGone(t *testing.T) {
	dir := t.TempDir()
	publishRelease(t, dir, "2026-11-20T211348Z", "h1", "h2")
	m := &config.Master{Name: "web"}
	record := &Record{Hosts: map[string]HostRecord{"h1": {}, "h3": {}}}
	j := &Judge{Config: &config.Config{}, UploadDir: dir}
	if diff := cmp.Diff([]string{"h2", "h3"}, j.gone(m, record, []string{"h1"})); diff != "" {
		t.Error(diff)
	}
	j.Config.Configuration.NeverUpload = []string{"web"}
	if diff := cmp.Diff([]string{"h3"}, j.gone(m, record, []string{"h1"})); diff != "" {
		t.Error(diff)
	}
}
