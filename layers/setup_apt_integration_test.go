//go:build integration

package layers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	for pattern, want := range map[string]int{"pool/*_hello_*.deb": 1, "pool/*_sl_*.deb": 1, "pool/.*": 0, "sources/*.*": 0, "archives": 0} {
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

// A container leaves a package that its lists do not name, one of the right
// name and size with another content, and something that is not a file. The
// next one is given none of it, and what it writes to what it was given stays
// with it.
func TestAptPoolTakesWhatIsSigned(t *testing.T) {
	e, base := shared.use(t)
	to := target("poison", base)
	to.AptLists = true
	const download = `cd /var/cache/apt/archives; apt-get install -qy --no-install-recommends --download-only figlet >/dev/null
		test -f figlet_*.deb`
	// A leading systemd-tmpfiles of the image's own runs first in what follows.
	trojan := applyOne(t, e, script(download+`
		rm -f /usr/bin/systemd-tmpfiles
		printf '#!/bin/sh\nmv /var/cache/apt/archives /var/cache/apt/gone\n' >/usr/bin/systemd-tmpfiles
		chmod 755 /usr/bin/systemd-tmpfiles
		size=$(stat -c %s figlet_*.deb); truncate -s 0 figlet_*.deb; truncate -s $size figlet_*.deb
		echo evil >planted_1_all.deb
		mkfifo pipe_1_all.deb; ln -s /etc/shadow link_1_all.deb; mknod disk_1_all.deb b 8 0; mkdir folder_1_all.deb`), to)
	pooled := func() []string {
		found, err := filepath.Glob(filepath.Join(shared.dir, "apt/pool/*"))
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(found, func(path string) bool {
			return !regexp.MustCompile(`_(figlet|planted|pipe|link|disk|folder)_`).MatchString(path)
		})
	}
	if found := pooled(); len(found) > 0 {
		t.Errorf("the pool has %q", found)
	}
	live(t, e, target("victim", trojan), func(c *layers.Container) {
		mustSh(t, c, `! ls /var/cache/apt/archives/ | grep -E 'figlet|planted|pipe|link|disk|folder'`)
	})

	applyOne(t, e, script(download), to)
	found := pooled()
	if len(found) != 1 {
		t.Fatalf("the pool has %q, want one package", found)
	}
	want, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, systemd := range []bool{false, true} {
		victim := target("writes", base)
		victim.Systemd = systemd
		live(t, e, victim, func(c *layers.Container) {
			mustSh(t, c, `cd /var/cache/apt/archives; test -s figlet_*.deb; test -n "$(ls /var/lib/apt/lists/*_Packages)"
				chmod 777 figlet_*.deb; echo evil >>figlet_*.deb; for list in /var/lib/apt/lists/*_Packages; do echo >>$list; done
				apt-get clean; ! ls | grep deb$`)
		})
	}
	if got, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the pool's package was changed: %d bytes, %v", len(got), err)
	}
	live(t, e, target("next", base), func(c *layers.Container) {
		mustSh(t, c, `cd /var/cache/apt/archives; test $(stat -c %s figlet_*.deb) = `+fmt.Sprint(len(want))+`
			apt-get install -qy --no-install-recommends figlet | grep -q 'Need to get 0 B'`)
	})
	if views, err := filepath.Glob(filepath.Join(shared.dir, "apt/views/*writes*")); err != nil || len(views) > 0 {
		t.Errorf("views are left: %q, %v", views, err)
	}
}
