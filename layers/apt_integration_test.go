//go:build integration

package layers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/layers"
)

// together is a script that runs in all containers at the same time, and
// keeps what it prints in each.
type together struct {
	script string
	mu     sync.Mutex
	said   map[string]string
}

func (s *together) Key(ctx context.Context, host string) (digest.Digest, error) {
	return script(s.script).Key(ctx, host)
}

func (s *together) Run(ctx context.Context, containers []*layers.Container) error {
	s.said = map[string]string{}
	errs := make([]error, len(containers))
	var work sync.WaitGroup
	for i, c := range containers {
		work.Go(func() {
			var out bytes.Buffer
			errs[i] = c.Exec(ctx, layers.Process{Args: []string{"/bin/sh", "-ec", s.script}, Stdout: &out, Stderr: &out})
			if errs[i] != nil {
				errs[i] = fmt.Errorf("%w: %s", errs[i], out.String())
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.said[c.Name()] = out.String()
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

func install(packages string) *together {
	return &together{script: `apt-get install -qy --no-install-recommends ` + packages}
}

// What one container fetched, the next ones have, and several may fetch at
// once.
func TestAptFetchesOnce(t *testing.T) {
	e, base := shared.use(t)
	first := target("apt01", base)
	first.AptLists = true
	step := install("hello")
	if err := apply(t, e, step, first)[0].Err; err != nil {
		t.Fatal(err)
	}
	if said := step.said["apt01"]; strings.Count(said, "\nGet:") != 1 {
		t.Errorf("the first container fetched otherwise than once: %s", said)
	}

	// These do without fetching lists, or the package once more.
	step = install("hello sl")
	results := apply(t, e, step, target("apt02", base), target("apt03", base), target("apt04", base))
	for _, r := range results {
		said := step.said[r.Name]
		if r.Err != nil || strings.Contains(said, " hello amd64 ") || !strings.Contains(said, "\nGet:1 ") || strings.Contains(said, "\nW: ") {
			t.Errorf("%s: %v: %s", r.Name, r.Err, said)
		}
	}
	step = install("hello sl")
	if err := apply(t, e, step, target("apt05", base))[0].Err; err != nil {
		t.Fatal(err)
	}
	if said := step.said["apt05"]; !strings.Contains(said, "Need to get 0 B/") {
		t.Errorf("the last container fetched again: %s", said)
	}
	for pattern, want := range map[string]int{"archives/hello_*.deb": 1, "archives/sl_*.deb": 1, "archives/[^a-z]*": 0, "lists/*.*": 0} {
		if pooled, err := filepath.Glob(filepath.Join(shared.dir, "apt", pattern)); err != nil || len(pooled) != want {
			t.Errorf("the pool holds %q, error %v; want %d of %s", pooled, err, want, pattern)
		}
	}
}

// Lists belong to the sources they were fetched from.
func TestAptListsOfOtherSourcesAreNotLent(t *testing.T) {
	e, base := shared.use(t)
	to := target("sources", base)
	to.AptLists = true
	changed := applyOne(t, e, `test -n "$(ls /var/lib/apt/lists/*Packages)"; echo "# other" >>/etc/apt/sources.list`, to)
	live(t, e, target("sources", base), func(c *layers.Container) {
		mustSh(t, c, `ls /var/lib/apt/lists/*Packages`)
	})
	live(t, e, target("sources", changed), func(c *layers.Container) {
		if said, err := sh(t, c, `ls /var/lib/apt/lists/*Packages`); err == nil {
			t.Errorf("lists of other sources are there: %s", said)
		}
	})
}

// What runs first in a container is the image's own: it may be from a step that
// wants packages put where a link leads to on the builder.
func TestAptPackagesFollowNoLink(t *testing.T) {
	e, base := shared.use(t)
	builders := t.TempDir()
	trojan := applyOne(t, e, script(`echo evil >/var/cache/apt/archives/planted_1_all.deb
		rm -f /usr/bin/systemd-tmpfiles
		printf '#!/bin/sh\nrm -r /var/cache/apt/archives\nln -s `+builders+` /var/cache/apt/archives\n' >/usr/bin/systemd-tmpfiles
		chmod 755 /usr/bin/systemd-tmpfiles`), target("planting", base))
	if _, err := os.Stat(filepath.Join(shared.dir, "apt/archives/planted_1_all.deb")); err != nil {
		t.Fatal(err)
	}
	live(t, e, target("planted", trojan), func(c *layers.Container) {
		mustSh(t, c, `test -L /var/cache/apt/archives`)
	})
	if found, err := os.ReadDir(builders); err != nil || len(found) > 0 {
		t.Errorf("a folder of the builder got %v, error %v", found, err)
	}
}
