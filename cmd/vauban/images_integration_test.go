//go:build integration

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/internal/testenv"
	"vauban/layers"
)

// asVauban makes the test's program, started once more, be vauban.
const asVauban = "TEST_IS_VAUBAN"

func TestMain(m *testing.M) {
	if os.Getenv(asVauban) != "" {
		main()
	}
	testenv.Main(m)
}

// script is a step that runs a shell script.
type script string

func (s script) Key(context.Context, string) (digest.Digest, error) {
	return digest.FromString(string(s)), nil
}

func (s script) Run(ctx context.Context, containers []*layers.Container) error {
	for _, c := range containers {
		if err := c.Exec(ctx, layers.Process{Args: []string{"/bin/sh", "-ec", string(s)}}); err != nil {
			return err
		}
	}
	return nil
}

// webState gives a state directory with images of master web and its host
// web01.
func webState(t *testing.T) string {
	t.Helper()
	state := t.TempDir()
	testenv.Plant(t, state, testenv.Whole)
	engine, err := layers.Open(t.Context(), layers.Options{StateDir: state, Embedded: true, Version: version, Apt: layers.AptOptions{Pool: testenv.AptPool(t)}, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	img := testenv.Base(t, engine)
	for _, l := range []struct{ name, script, stage string }{
		{"base/iso", "mkdir /srv/data", ""},
		{"web", "echo master >/etc/motd; echo x >/etc/gone; echo key >/etc/key; chmod 600 /etc/key", "b.yml"},
		{"web/web01", "echo web01 >/etc/motd; rm /etc/gone; echo secret >/etc/key", "b.yml"},
	} {
		labels := map[string]string{"vauban.stage": l.stage, "vauban.commit": digest.FromString(l.name).Encoded()}
		results, err := engine.Apply(t.Context(), script(l.script),
			layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: l.stage, Labels: labels},
			layers.Target{Parent: img, ContainerOptions: layers.ContainerOptions{Name: "web01"}})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		img = results[0].Image
		if err := engine.SetImage(t.Context(), l.name, img); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

// rwOf is what a machine web01 wrote since it booted.
func rwOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", `cd "$0"; mkdir -p etc var/log; echo hacked >etc/motd
		echo new >etc/new; echo noise >var/log/syslog; mknod etc/hostname c 0 0`, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// TestImageCommands looks at images of a master and its host in every way.
func TestImageCommands(t *testing.T) {
	state, cfg, dir := webState(t), configFile(t, good), t.TempDir()
	upper, drifted := rwOf(t), filepath.Join(dir, "drift.tgz")
	rootfs, conffs := filepath.Join(dir, "web.squashfs"), filepath.Join(dir, "conffs.tgz")
	commit := func(name string) string { return digest.FromString(name).Encoded() }
	for _, tt := range []struct {
		name string
		args []string
		code int
		out  []string // in stdout
		not  string   // not in stdout
		err  string   // in stderr
	}{
		{name: "a list", args: []string{"images", "--output", "json"}, out: []string{`"name": "web/web01:latest"`}},
		{name: "what differs", args: []string{"diff", "web", "web01"},
			out: []string{"changed  /etc/motd", "-master\n+web01\n", "deleted  /etc/gone\n", "changed  /etc/key -rw-------\n"}, not: "secret"},
		{name: "of another host", args: []string{"diff", "web", "web02"}, code: 1, err: "web02"},
		{name: "the host's", args: []string{"which", "web/web01", "/etc/motd"}, out: []string{"in layer 4 by b.yml", commit("web/web01"), "images  web/web01"}},
		{name: "deleted", args: []string{"which", "web/web01", "/etc/gone"}, out: []string{"/etc/gone was deleted in layer 4"}},
		{name: "the master's", args: []string{"which", "web", "/etc/gone", "--output", "json"}, out: []string{`"layer": 3`, `"commit": "` + commit("web") + `"`}},
		{name: "the base's, through a link", args: []string{"which", "web", "/bin/sh"}, out: []string{"/usr/bin/sh was written in layer 1 by mmdebstrap"}},
		{name: "nobody's", args: []string{"which", "web", "/nothing"}, code: 1, err: "no layer of"},
		{name: "a command", args: []string{"shell", "web", "--", "cat", "/etc/motd"}, out: []string{"master\n"}},
		{name: "a command that fails", args: []string{"shell", "web", "--", "false"}, code: 1, err: `running "false"`},
		{name: "a rootfs", args: []string{"export", "rootfs", "web", "-o", rootfs}, out: []string{rootfs}},
		{name: "conffs", args: []string{"export", "conffs", "web", "--host", "web01", "-o", conffs}, out: []string{conffs, "1 deletion"}},
		{name: "what a machine changed", args: []string{"drift", upper, "--against", "web/web01", "--diff", "-o", drifted},
			out: []string{"changed  /etc/motd -rw-r--r-- 0:0\n", "-web01\n+hacked\n", "deleted  /etc/hostname\n", "added    /etc/new"}, not: "/var/log", err: "nothing is published"},
		{name: "as JSON", args: []string{"drift", upper, "--against", "web/web01", "--output", "json", "--exclude", "etc/m*"}, out: []string{`"kind": "deleted"`}, not: "motd", err: "nothing is published"},
		{name: "a machine that is no directory", args: []string{"drift", upper + "/nothing", "--against", "web/web01"}, code: 1, err: "nothing"},
		{name: "a machine of no master", args: []string{"drift", upper, "--against", "other/web01"}, code: 2, err: "other/web01"},
		{name: "a master with hosts", args: []string{"drift", upper, "--against", "web"}, code: 2, err: "web/HOST"},
		{name: "conffs to a pipe", args: []string{"export", "conffs", "web", "--host", "web01", "-o", "-"}, out: []string{"\x1f\x8b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := vauban(t, append([]string{"--config", cfg, "--state", state}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.err) || tt.not != "" && strings.Contains(out, tt.not) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
			}
			for _, want := range tt.out {
				if !strings.Contains(out, want) {
					t.Errorf("stdout %q lacks %q", out, want)
				}
			}
		})
	}
	for path, mode := range map[string]os.FileMode{rootfs: 0o644, conffs: 0o644, drifted: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}
