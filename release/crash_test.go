package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the program that tests kill: told so by its environment, it
// does what its standard input says and nothing else.
func TestMain(m *testing.M) {
	if os.Getenv("RELEASE_TEST_CHILD") != "" {
		if err := obey(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type childOrders struct {
	Dir      string
	Releases []Release // published in Dir in turn
	DieAt    int       // the step at which it kills itself; -1: none
}

func obey(ctx context.Context) error {
	var orders childOrders
	if err := json.NewDecoder(os.Stdin).Decode(&orders); err != nil {
		return err
	}
	steps := 0
	o := TreeOptions{step: func(string) error {
		if steps == orders.DieAt {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		steps++
		return nil
	}}
	for _, r := range orders.Releases {
		if _, err := Publish(ctx, orders.Dir, r, o); err != nil {
			return err
		}
	}
	return nil
}

// child returns a process that obeys, not started.
func child(t *testing.T, orders childOrders) *exec.Cmd {
	t.Helper()
	in, err := json.Marshal(orders)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), "RELEASE_TEST_CHILD=1")
	cmd.Stdin = bytes.NewReader(in)
	return cmd
}

// published returns a tree that serves a release of two hosts.
func published(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mustPublish(t, dir, built(t, first, "one", "web01", "gone"))
	return dir
}

// next is a release in which everything changes, with a host more and one less.
func next(t *testing.T) Release {
	r := built(t, second, "two", "web01", "new")
	r.Hosts, r.RemoveHosts = []string{"web01", "new"}, true
	return r
}

// countSteps returns the steps that publishing next takes, and the number of
// those after which it is served.
func countSteps(t *testing.T) (all, switched int) {
	t.Helper()
	o := TreeOptions{step: func(what string) error {
		all++
		if what == "link "+currentName {
			switched = all
		}
		return nil
	}}
	if _, err := Publish(t.Context(), published(t), next(t), o); err != nil {
		t.Fatal(err)
	}
	if switched == 0 {
		t.Fatal("current is never switched")
	}
	return all, switched
}

func TestFailureAtEachStep(t *testing.T) {
	all, switched := countSteps(t)
	broken := errors.New("the disk is gone")
	for at := range all {
		dir, n, what := published(t), 0, ""
		o := TreeOptions{step: func(step string) error {
			if n++; n == at+1 {
				what = step
				return broken
			}
			return nil
		}}
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			if _, err := Publish(t.Context(), dir, next(t), o); !errors.Is(err, broken) {
				t.Fatalf("failing at %q: error %v", what, err)
			}
			if at < switched {
				wantServed(t, dir, first)
			} else {
				wantWhole(t, dir, second)
			}
			mustPublish(t, dir, next(t))
			wantServed(t, dir, second)
		})
	}
}

func TestDeathAtEachStep(t *testing.T) {
	all, switched := countSteps(t)
	for at := range all {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			dir, r := published(t), next(t)
			err := child(t, childOrders{Dir: dir, Releases: []Release{r}, DieAt: at}).Run()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Exited() {
				t.Fatalf("the publisher was to be killed: %v", err)
			}
			if at < switched {
				wantWhole(t, dir, first)
			} else {
				wantWhole(t, dir, second)
			}
			mustPublish(t, dir, r)
			wantServed(t, dir, second)
		})
	}
}

// A release that was served when its publisher died stays one that can be rolled
// back to, whatever is published next.
func TestDeathOnceServed(t *testing.T) {
	_, switched := countSteps(t)
	dir := published(t)
	_ = child(t, childOrders{Dir: dir, Releases: []Release{next(t)}, DieAt: switched}).Run()
	wantWhole(t, dir, second)
	third := mustPublish(t, dir, built(t, second, "three", "web01", "new"))
	wantServed(t, dir, third.Timestamp)
	if _, err := Rollback(t.Context(), dir, master, second, TreeOptions{}); err != nil {
		t.Error(err)
	}
	mustPublish(t, dir, built(t, second, "four", "web01", "new"))
}

func TestDeathAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	a, b := built(t, first, "one", "web01", "web02"), built(t, first, "two", "web01", "web03")
	a.Hosts, b.Hosts = []string{"web01", "web02"}, []string{"web01", "web03"}
	a.RemoveHosts, b.RemoveHosts = true, true
	mustPublish(t, dir, a)
	orders := childOrders{Dir: dir, DieAt: -1}
	for range 200 {
		orders.Releases = append(orders.Releases, b, a)
	}
	for range 25 {
		cmd := child(t, orders)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Any moment is a good one: nothing below depends on which it was.
		time.AfterFunc(rand.N(60*time.Millisecond), func() { cmd.Process.Kill() })
		cmd.Wait()
		p, err := Current(dir, master)
		if err != nil {
			t.Fatal(err)
		}
		wantWhole(t, dir, p.Timestamp)
	}
	p := mustPublish(t, dir, a)
	wantServed(t, dir, p.Timestamp)
}

func TestPublishersAtOnce(t *testing.T) {
	dir := t.TempDir()
	releases := []Release{built(t, first, "one", "web01"), built(t, first, "two", "web02"), built(t, first, "three")}
	for i := range releases {
		releases[i].Hosts = []string{}
	}
	var group sync.WaitGroup
	for _, r := range releases {
		group.Go(func() {
			cmd := child(t, childOrders{Dir: dir, Releases: []Release{r, r}, DieAt: -1})
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	group.Wait()
	p, err := Current(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	wantServed(t, dir, p.Timestamp)
	all, err := Releases(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < len(releases) {
		t.Errorf("%d releases, want at least %d", len(all), len(releases))
	}
	for _, p := range all {
		if err := p.Verify(); err != nil {
			t.Error(err)
		}
	}
}
