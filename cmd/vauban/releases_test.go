package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/release"
)

// published gives a state directory with releases of the master web, each for
// host web01, the last one served.
func published(t *testing.T, timestamps ...string) string {
	t.Helper()
	state := t.TempDir()
	for _, timestamp := range timestamps {
		dir := t.TempDir()
		file := func(name string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(name+timestamp), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		image := digest.FromString(timestamp)
		_, err := release.Publish(t.Context(), filepath.Join(state, "published"), release.Release{
			Master: "web", Timestamp: timestamp, Hosts: []string{"web01"},
			Kernel: &release.BuiltKernel{Version: "6.1.0", Vmlinuz: file("k"), Initramfs: file("i")},
			Rootfs: &release.BuiltRootfs{Path: file("r"), Image: image, Kernels: []string{"6.1.0"}},
			Conffs: map[string]release.BuiltConffs{"web01": {Path: file("c"), Image: digest.FromString("host" + timestamp), Master: image}},
		}, release.TreeOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	return state
}

const (
	older = "2026-11-20T211348Z"
	newer = "2026-11-20T211349Z"
)

// TestReleases runs its commands one after the other on one published tree.
func TestReleases(t *testing.T) {
	t.Setenv("UPLOAD_DIR", "")
	state, cfg := published(t, older, newer), configFile(t, good)
	for _, tt := range []struct {
		name string
		args []string
		code int
		out  []string // in stdout
		err  string   // in stderr
	}{
		{"a list", []string{"releases", "web"}, 0, []string{"* " + newer + "  kernel 6.1.0  1 host: web01\n  " + older}, ""},
		{"a list for programs", []string{"releases", "web", "--output", "json"}, 0, []string{`"release": "` + newer + `"`, `"served": true`}, ""},
		{"another format", []string{"releases", "web", "--output", "x"}, 2, nil, "use text or json"},
		{"of a base", []string{"releases", "suite"}, 2, nil, "is a base"},
		{"an entry", []string{"entry", "web", "--host", "web01", "--url", "http://server/pxe"}, 0,
			[]string{"#!ipxe", "kernel http://server/pxe/web/releases/" + newer + "/vmlinuz", "conffs-web01.tgz"}, ""},
		{"an entry of a release", []string{"entry", "web", "--release", older, "--url", "http://server/pxe", "--format", "grub"}, 0,
			[]string{"menuentry 'web " + older + "'"}, ""},
		{"an entry of nowhere", []string{"entry", "web"}, 2, nil, "--url is missing"},
		{"an entry of another host", []string{"entry", "web", "--host", "db01", "--url", "http://server"}, 1, nil, `no files for host "db01"`},
		{"entries of all hosts", []string{"entry", "web", "--url", "http://server/pxe", "--dir", filepath.Join(state, "entries")}, 0,
			[]string{"entries: 1 entry of release " + newer}, ""},
		{"entries of all hosts and of one", []string{"entry", "web", "--url", "http://server/pxe", "--dir", "x", "--host", "web01"}, 2, nil, "leave out --host"},
		{"a rollback", []string{"rollback", "web"}, 0, []string{"web: " + older + " is served"}, ""},
		{"a list after it", []string{"releases", "web"}, 0, []string{"* " + older + "  kernel 6.1.0  1 host: web01  rolled back from " + newer}, ""},
		{"a rollback too far", []string{"rollback", "web"}, 1, nil, "no release is older"},
		{"a rollback forward", []string{"rollback", "web", newer}, 0, []string{newer + " is served"}, ""},
		{"a deployment", []string{"deploy", "web"}, 0, []string{newer + " is served"}, ""},
		{"a list after that", []string{"releases", "web"}, 0, []string{"* " + newer + "  kernel 6.1.0  1 host: web01\n"}, ""},
		{"a deployment of nothing", []string{"deploy", "web", "2020-01-01T000000Z"}, 1, nil, "there is no release"},
		{"pruning nothing said", []string{"prune", "web"}, 2, nil, "--keep"},
		{"pruning tried", []string{"prune", "web", "--keep", "1", "--dry-run"}, 0, []string{"would remove release web/" + older}, ""},
		{"pruning", []string{"prune", "web", "--keep", "1"}, 0, []string{"removed release web/" + older}, ""},
		{"what is left", []string{"releases", "web", "--output", "json"}, 0, []string{`"release": "` + newer + `"`}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := vauban(t, append([]string{"--config", cfg, "--state", state}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.err) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
			}
			for _, want := range tt.out {
				if !strings.Contains(out, want) {
					t.Errorf("stdout %q lacks %q", out, want)
				}
			}
		})
	}
	entries, err := filepath.Glob(filepath.Join(state, "entries", "*"))
	if err != nil || len(entries) != 1 || filepath.Base(entries[0]) != "web01.ipxe" {
		t.Fatalf("the folder of entries has %q: %v", entries, err)
	}
	if text, err := os.ReadFile(entries[0]); err != nil || !strings.Contains(string(text), "/web/releases/"+newer+"/conffs-web01.tgz") {
		t.Errorf("the entry of web01 is %q: %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(state, "published", "web", "releases", older)); !os.IsNotExist(err) {
		t.Errorf("the pruned release is still there: %v", err)
	}
}

func TestServeWithoutReleases(t *testing.T) {
	code, out, errs := vauban(t, "--config", configFile(t, forest), "--state", t.TempDir(), "serve", "--listen", "127.0.0.1:0")
	if code != 1 || out != "" || !strings.Contains(errs, "build a master first") {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
}
