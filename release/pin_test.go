package release

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	fourth = "2026-11-20T211351Z"
	fifth  = "2026-11-20T211352Z"
	sixth  = "2026-11-20T211353Z"
)

// rolledBack is a tree of two releases, rolled back to the older one.
func rolledBack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "old", "web01", "web02"))
	mustPublish(t, dir, built(t, second, "bad", "web01", "web02"))
	_, err := Rollback(t.Context(), dir, master, "", TreeOptions{})
	must(t, err)
	return dir
}

// hostOf is a release of one host's conffs, cut on the image of content old.
func hostOf(t *testing.T, timestamp, content, host string) Release {
	t.Helper()
	r := onlyConffs(built(t, timestamp, content, host), "old")
	r.Hosts = []string{"web01", "web02"}
	return r
}

// What is built after a rollback is a candidate until one is deployed.
func TestPublishAfterRollback(t *testing.T) {
	dir := rolledBack(t)
	pin, err := Pinned(dir, master)
	must(t, err)
	if pin == nil || pin.Release != first || pin.From != second {
		t.Fatalf("the rollback is recorded as %+v", pin)
	}
	before, links := listing(t, filepath.Join(dir, master)), listing(t, filepath.Join(dir, "linux"))
	delete(before, "releases/"+second)
	r := built(t, third, "next", "web01", "web02")
	r.Seen = first
	p := mustPublish(t, dir, r)
	if !p.Candidate || p.Served || p.Timestamp != third {
		t.Errorf("published %s, candidate %v, served %v", p.Timestamp, p.Candidate, p.Served)
	}
	after := listing(t, filepath.Join(dir, master))
	for name, what := range before {
		if after[name] != what {
			t.Errorf("%s was %q and is %q", name, what, after[name])
		}
	}
	newest := "vmlinuz." + version
	if now := listing(t, filepath.Join(dir, "linux")); now[newest] != links[newest] {
		t.Errorf("the kernel's link has moved from %s to %s", links[newest], now[newest])
	}
	wantReleases(t, dir, third+" false", second+" false", first+" true")

	// A host's change goes on from the release that is served.
	p = mustPublish(t, dir, hostOf(t, fourth, "changed", "web01"))
	if !p.Candidate || p.Rootfs.Image != image("master old") || p.Hosts["web01"].Image != image("web01changed") {
		t.Errorf("published %+v", p.Manifest)
	}
	// Another's goes on from that: deploying the last one loses neither.
	p = mustPublish(t, dir, hostOf(t, fifth, "changed", "web02"))
	if p.Hosts["web01"].Image != image("web01changed") || p.Hosts["web02"].Image != image("web02changed") {
		t.Errorf("published %+v", p.Hosts)
	}
	if p := mustPublish(t, dir, hostOf(t, sixth, "changed", "web02")); !p.Unchanged || !p.Candidate || p.Timestamp != fifth {
		t.Errorf("nothing has changed, and %s was published", p.Timestamp)
	}
	wantServed(t, dir, first)

	p, err = Deploy(t.Context(), dir, master, "", TreeOptions{})
	must(t, err)
	if p.Timestamp != fifth || !p.Served || p.Candidate {
		t.Errorf("deployed %s", p.Timestamp)
	}
	wantServed(t, dir, fifth)
	if pin, err := Pinned(dir, master); pin != nil || err != nil {
		t.Errorf("the rollback has not ended: %+v, %v", pin, err)
	}
	mustPublish(t, dir, built(t, sixth, "after", "web01", "web02"))
	wantServed(t, dir, sixth)
	// A candidate was never served: a rollback does not choose it.
	p, err = Rollback(t.Context(), dir, master, "", TreeOptions{})
	must(t, err)
	if p.Timestamp != fifth {
		t.Errorf("rolled back to %s", p.Timestamp)
	}
	p, err = Rollback(t.Context(), dir, master, "", TreeOptions{})
	must(t, err)
	if p.Timestamp != second {
		t.Errorf("rolled back to %s, which is a candidate or skips a release", p.Timestamp)
	}
	if pin, err := Pinned(dir, master); err != nil || pin.From != sixth {
		t.Errorf("rolled back from %v, %v", pin, err)
	}
}

func TestDeploy(t *testing.T) {
	for name, tt := range map[string]struct {
		release, want string
	}{
		"without a candidate the newest": {"", second},
		"the one that is served":         {first, first},
	} {
		t.Run(name, func(t *testing.T) {
			dir := rolledBack(t)
			_, err := Deploy(t.Context(), dir, master, tt.release, TreeOptions{})
			must(t, err)
			wantServed(t, dir, tt.want)
			mustPublish(t, dir, built(t, third, "next", "web01", "web02"))
			wantServed(t, dir, third)
		})
	}
	dir := rolledBack(t)
	damage(t, filepath.Join(dir, master, "releases", second, "rootfs.squashfs"))
	for release, want := range map[string]error{"": ErrDamaged, third: os.ErrNotExist} {
		if _, err := Deploy(t.Context(), dir, master, release, TreeOptions{}); !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", release, err, want)
		}
	}
	wantServed(t, dir, first)
	if pin, err := Pinned(dir, master); pin == nil || err != nil {
		t.Errorf("a deployment that was refused has ended the rollback: %v", err)
	}
}

// Where it fails at a step, a rollback is recorded and served or neither, and a
// deployment likewise.
func TestPinAtEachStep(t *testing.T) {
	broken := errors.New("the disk is gone")
	for name, change := range map[string]func(dir string, o TreeOptions) error{
		"rollback": func(dir string, o TreeOptions) error {
			_, err := Rollback(t.Context(), dir, master, first, o)
			return err
		},
		"deploy": func(dir string, o TreeOptions) error {
			_, err := Deploy(t.Context(), dir, master, second, o)
			return err
		},
	} {
		done := false
		for at := 1; !done; at++ {
			dir, n := rolledBack(t), 0
			want := first // while it is pinned
			if name == "rollback" {
				_, err := Deploy(t.Context(), dir, master, second, TreeOptions{})
				must(t, err)
			}
			err := change(dir, TreeOptions{step: func(string) error {
				if n++; n == at {
					return broken
				}
				return nil
			}})
			done = err == nil
			current, errCurrent := Current(dir, master)
			must(t, errCurrent)
			pin, errPin := Pinned(dir, master)
			must(t, errPin)
			if (pin != nil) != (current.Timestamp == want) {
				t.Errorf("%s, step %d: %s is served, and the record is %+v", name, at, current.Timestamp, pin)
			}
		}
	}
}

func TestPinDamaged(t *testing.T) {
	dir := rolledBack(t)
	damage(t, filepath.Join(dir, master, pinName))
	if _, err := Publish(t.Context(), dir, built(t, third, "next", "web01", "web02"), TreeOptions{}); err == nil {
		t.Error("published although it is not known whether there was a rollback")
	}
	wantServed(t, dir, first)
	_, err := Rollback(t.Context(), dir, master, first, TreeOptions{})
	must(t, err)
	if pin, err := Pinned(dir, master); err != nil || pin == nil {
		t.Errorf("rolled back again: %v, %v", pin, err)
	}
}

func TestPruneWhenPinned(t *testing.T) {
	for keep, want := range map[int][]string{
		0: {fourth + " false", first + " true"},
		1: {fourth + " false", second + " false", first + " true"},
		2: {fourth + " false", third + " false", second + " false", first + " true"},
	} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			dir := rolledBack(t)
			for _, timestamp := range []string{third, fourth} {
				mustPublish(t, dir, built(t, timestamp, "next "+timestamp, "web01", "web02"))
			}
			_, err := Prune(t.Context(), dir, PruneOptions{Masters: []string{master}, Keep: keep}, TreeOptions{})
			must(t, err)
			wantReleases(t, dir, want...)
			_, err = Deploy(t.Context(), dir, master, "", TreeOptions{})
			must(t, err)
			wantServed(t, dir, fourth)
		})
	}
}

// A host stays in the release when the master no longer has it, and leaves with
// the next run that still lacks it.
func TestLeaving(t *testing.T) {
	type run struct {
		hosts  []string // of the master; nil: no conffs are built
		rootfs string   // "": not built
		change func(*Release)
		want   []string // in the release that is served
		leave  []string
		gone   []string
		err    error
	}
	both, one := []string{"web01", "web02"}, []string{"web01"}
	for name, runs := range map[string][]run{
		"twice missing":               {{hosts: one, want: both, leave: []string{"web02"}}, {hosts: one, want: one, gone: []string{"web02"}}},
		"it comes back":               {{hosts: one, want: both, leave: []string{"web02"}}, {hosts: both, want: both}},
		"it comes back, and leaves":   {{hosts: one, want: both, leave: []string{"web02"}}, {hosts: both, want: both}, {hosts: one, want: both, leave: []string{"web02"}}},
		"by order":                    {{hosts: one, change: func(r *Release) { r.RemoveHosts = true }, want: one, gone: []string{"web02"}}},
		"some hosts alone":            {{hosts: one, want: both, leave: []string{"web02"}}, {hosts: one, change: func(r *Release) { r.Some = true }, want: both, leave: []string{"web02"}}},
		"a kernel in between":         {{hosts: one, want: both, leave: []string{"web02"}}, {want: both, leave: []string{"web02"}}, {hosts: one, want: one, gone: []string{"web02"}}},
		"with a new rootfs":           {{hosts: one, rootfs: "new", want: both, leave: []string{"web02"}, err: ErrLeaving}, {hosts: one, rootfs: "new", want: one, gone: []string{"web02"}}},
		"with a new rootfs, by order": {{hosts: one, rootfs: "new", change: func(r *Release) { r.RemoveHosts = true }, want: one, gone: []string{"web02"}}},
		"a new rootfs alone":          {{hosts: one, want: both, leave: []string{"web02"}}, {rootfs: "new", want: both, leave: []string{"web02"}, err: ErrMixed}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustPublish(t, dir, built(t, first, "old", both...))
			for i, run := range runs {
				timestamp := []string{second, third, fourth}[i]
				content := run.rootfs
				if content == "" {
					content = "old"
				}
				r := built(t, timestamp, content, run.hosts...)
				if run.rootfs == "" {
					r.Rootfs, r.Kernel = nil, nil
				}
				if run.hosts == nil {
					r.Kernel = built(t, timestamp, "kernel").Kernel
				}
				r.Hosts = run.hosts
				if run.change != nil {
					run.change(&r)
				}
				p, err := Publish(t.Context(), dir, r, TreeOptions{})
				if !errors.Is(err, run.err) {
					t.Fatalf("run %d: error %v, want %v", i, err, run.err)
				}
				if err == nil && !cmp.Equal(run.gone, p.Removed) {
					t.Errorf("run %d removed %v, want %v", i, p.Removed, run.gone)
				}
				current, err := Current(dir, master)
				must(t, err)
				must(t, current.Verify())
				var hosts []string
				for _, host := range both {
					if _, ok := current.Hosts[host]; ok {
						hosts = append(hosts, host)
					}
				}
				if diff := cmp.Diff(run.want, hosts); diff != "" {
					t.Errorf("run %d serves (-want +got):\n%s", i, diff)
				}
				if diff := cmp.Diff(run.leave, current.Leaving); diff != "" {
					t.Errorf("run %d reports as leaving (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

// A first release lacks hosts only where that was asked for, and lists them.
func TestMissing(t *testing.T) {
	all := []string{"web01", "web02"}
	for name, tt := range map[string]struct {
		change  func(*Release)
		refused bool
		want    []string
	}{
		"nothing was said":          {change: func(*Release) {}, refused: true},
		"some were asked for":       {change: func(r *Release) { r.Some = true }, want: []string{"web02"}},
		"one failed and it went on": {change: func(r *Release) { r.Failed = []string{"web02"} }, want: []string{"web02"}},
		"another failed":            {change: func(r *Release) { r.Failed = []string{"web03"} }, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := built(t, first, "old", "web01")
			r.Hosts = all
			tt.change(&r)
			p, err := Publish(t.Context(), dir, r, TreeOptions{})
			if (err != nil) != tt.refused {
				t.Fatalf("error %v", err)
			}
			if tt.refused {
				return
			}
			if diff := cmp.Diff(tt.want, p.Missing); diff != "" {
				t.Error(diff)
			}
			// What says nothing of hosts keeps the list, their conffs end it.
			kernel := built(t, second, "kernel")
			kernel.Rootfs = nil
			if p := mustPublish(t, dir, kernel); !cmp.Equal(tt.want, p.Missing) {
				t.Errorf("with another kernel %v are missing", p.Missing)
			}
			if p := mustPublish(t, dir, hostOf(t, third, "old", "web02")); p.Missing != nil {
				t.Errorf("%v are missing", p.Missing)
			}
		})
	}
}
