//go:build integration

package layers_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/layers"
)

// script is a step that runs a shell script in each container.
type script string

func (s script) Key(context.Context, string) (digest.Digest, error) {
	return digest.FromString(string(s)), nil
}

func (s script) Run(ctx context.Context, containers []*layers.Container) error {
	failed := map[string]error{}
	for _, c := range containers {
		var out bytes.Buffer
		if err := c.Exec(ctx, layers.Process{Args: []string{"/bin/sh", "-ec", string(s)}, Stdout: &out, Stderr: &out}); err != nil {
			failed[c.Name()] = errors.Join(err, errors.New(out.String()))
		}
	}
	if len(failed) > 0 {
		return &layers.PartialError{Failed: failed}
	}
	return nil
}

var change = layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "test", Labels: map[string]string{"vauban.test": "yes"}}

func apply(t *testing.T, e *layers.Engine, step layers.Step, targets ...layers.Target) []layers.Result {
	t.Helper()
	results, err := e.Apply(t.Context(), step, change, targets...)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func target(name string, parent layers.Image) layers.Target {
	return layers.Target{Parent: parent, ContainerOptions: layers.ContainerOptions{Name: name}}
}

func applyOne(t *testing.T, e *layers.Engine, s script, to layers.Target) layers.Image {
	t.Helper()
	result := apply(t, e, s, to)[0]
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	return result.Image
}

// read gives files of an image, by path; a missing one is "missing".
func read(t *testing.T, e *layers.Engine, img layers.Image, paths ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := e.Mount(t.Context(), img, func(root string) error {
		for _, path := range paths {
			data, err := os.ReadFile(filepath.Join(root, path))
			found[path] = string(data)
			if errors.Is(err, os.ErrNotExist) {
				found[path] = "missing"
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEngine(t *testing.T) {
	e, base := shared.use(t)

	t.Run("a step's changes become a layer", func(t *testing.T) {
		img := applyOne(t, e, `echo hello >/srv/new; rm /etc/issue; rm -r /usr/share/doc`, target("web01", base))
		got := read(t, e, img, "srv/new", "etc/issue", "usr/share/doc", "etc/hostname")
		if got["srv/new"] != "hello\n" || got["etc/issue"] != "missing" || got["usr/share/doc"] != "missing" || got["etc/hostname"] != "web01\n" {
			t.Errorf("the image holds %q", got)
		}
		if len(img.Manifest.Layers) != 2 || img.Config.Config.Labels["vauban.test"] != "yes" {
			t.Errorf("manifest %+v, labels %v", img.Manifest, img.Config.Config.Labels)
		}
		if _, err := img.Above(base); err != nil {
			t.Error(err)
		}
		if _, err := base.Above(img); err == nil {
			t.Error("a base stands above its child")
		}
	})
	t.Run("what was lent is taken back", func(t *testing.T) {
		img := applyOne(t, e, `test -s /etc/machine-id; grep -q 10.0.2.3 /etc/resolv.conf; grep -q lent /etc/hosts; test "$(hostname)" = lent`, target("lent", base))
		paths := []string{"etc/resolv.conf", "etc/machine-id", "etc/hosts", "run/vauban"}
		before, after := read(t, e, base, paths...), read(t, e, img, paths...)
		for _, path := range paths {
			if before[path] != after[path] {
				t.Errorf("%s was %q and is %q", path, before[path], after[path])
			}
		}
	})
	t.Run("what a step made of a lent file stays", func(t *testing.T) {
		img := applyOne(t, e, `echo nameserver 192.0.2.1 >/etc/resolv.conf; echo 192.0.2.7 db >>/etc/hosts; ln -sf /run/x /etc/machine-id`, target("lent", base))
		got := read(t, e, img, "etc/resolv.conf", "etc/hosts")
		if got["etc/resolv.conf"] != "nameserver 192.0.2.1\n" || !strings.Contains(got["etc/hosts"], "192.0.2.7 db") || strings.Contains(got["etc/hosts"], "lent") {
			t.Errorf("the image holds %q", got)
		}
	})
	t.Run("a host's own machine-id ships", func(t *testing.T) {
		to := target("web01", base)
		to.MachineID = "0123456789abcdef0123456789abcdef"
		img := applyOne(t, e, `true`, to)
		if got := read(t, e, img, "etc/machine-id")["etc/machine-id"]; got != to.MachineID+"\n" {
			t.Errorf("machine-id %q", got)
		}
	})
	t.Run("one target's failure is its own", func(t *testing.T) {
		results := apply(t, e, script(`test "$(hostname)" != bad`), target("good", base), target("bad", base))
		if results[0].Err != nil || results[1].Err == nil {
			t.Errorf("good: %v, bad: %v", results[0].Err, results[1].Err)
		}
	})
	t.Run("the same change is the same layer", func(t *testing.T) {
		const s = `touch -d @1700000000 /srv/same; touch -d @1700000000 /srv /etc /etc/hostname`
		first, second := applyOne(t, e, s, target("same", base)), applyOne(t, e, s, target("same", base))
		if first.Digest() != second.Digest() {
			t.Errorf("%s and %s", first.Digest(), second.Digest())
		}
	})
	t.Run("apt's caches stay out", func(t *testing.T) {
		to := target("apt", base)
		to.AptLists = true
		img := applyOne(t, e, `apt-get install -qy --no-install-recommends tree; tree --version`, to)
		err := e.Mount(t.Context(), img, func(root string) error {
			for _, dir := range []string{"var/cache/apt", "var/lib/apt/lists"} {
				files, err := filepath.Glob(filepath.Join(root, dir, "*[a-z]*"))
				if err != nil {
					return err
				}
				for _, f := range files {
					if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
						t.Errorf("%s ships", f)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a background process is ended, in order", func(t *testing.T) {
		img := applyOne(t, e, `sh -c 'trap "echo ended >/srv/ended; exit" TERM; touch /srv/ready; while :; do sleep 0.1; done' >/dev/null 2>&1 & while ! test -e /srv/ready; do sleep 0.1; done`, target("bg", base))
		if got := read(t, e, img, "srv/ended")["srv/ended"]; got != "ended\n" {
			t.Errorf("it wrote %q at its end", got)
		}
	})
}
