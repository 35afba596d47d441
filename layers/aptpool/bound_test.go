package aptpool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pooled makes files of 10 bytes in a new pool that were used that many hours
// ago.
func pooled(t *testing.T, hours map[string]int) *Pool {
	t.Helper()
	p := newPool(t)
	for name, ago := range hours {
		path := filepath.Join(p.archives(), name)
		write(t, path, make([]byte, 10))
		used := time.Now().Add(-time.Duration(ago) * time.Hour)
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// named64 is a name of the pool's.
func named64(name string) string { return strings.Repeat("0", 64) + "_" + name + ".deb" }

func TestBound(t *testing.T) {
	for name, test := range map[string]struct {
		size int64
		want string
	}{
		"room for all":     {30, "a b c"},
		"one too many":     {29, "b c"},
		"just room":        {20, "b c"},
		"room for one":     {15, "c"},
		"room for none":    {5, ""},
		"room for no byte": {0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := pooled(t, map[string]int{named64("a"): 9, named64("b"): 8, named64("c"): 7, "notes": 20})
			if err := p.Bound(test.size); err != nil {
				t.Fatal(err)
			}
			var want string
			for _, name := range strings.Fields(test.want) {
				want += named64(name) + " "
			}
			if got := names(t, p.archives()); got != want+"notes" {
				t.Errorf("left are %q", got)
			}
		})
	}
	if err := newPool(t).Bound(0); err != nil {
		t.Errorf("a pool that is not there yet: %v", err)
	}
}

// A package that an image still has is dated today, so that others go first;
// what is dated 2100, and what a killed run was copying, does not stay for ever.
func TestMarkUsed(t *testing.T) {
	p := pooled(t, map[string]int{named64("old"): 9, named64("other"): 1, named64("future"): -1e5, temporary + "dead": 48, temporary + "live": 1})
	if err := p.Bound(100); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(p.archives(), named64("future"))); err != nil || info.ModTime().After(time.Now()) {
		t.Errorf("%v, %v", info, err)
	}
	if err := p.MarkUsed([]string{"old.deb", "gone.deb"}); err != nil {
		t.Fatal(err)
	}
	if err := p.Bound(20); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, p.archives()), temporary+"live "+named64("future")+" "+named64("old"); got != want {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// TestPoolInParallel takes from the pool and gives to it while it is bound.
func TestPoolInParallel(t *testing.T) {
	key := newKey(t)
	p, r := newPool(t, key), recent()
	var work sync.WaitGroup
	for n := range 4 {
		c := newContainer(t)
		c.fetch(t, key, r)
		work.Go(func() {
			id := fmt.Sprintf("run-%d", n)
			for range 20 {
				err := p.KeepLists(t.Context(), Taken{Sources: testSources, Container: id, Changed: c.lists, Given: c.archives, Since: time.Now()})
				if err != nil {
					t.Error(err)
				}
				if err := p.KeepArchives(t.Context(), testSources, c.archives); err != nil {
					t.Error(err)
				}
				if _, err := p.View(id, testSources); err != nil {
					t.Error(err)
				}
				if err := p.RemoveViews(id); err != nil {
					t.Error(err)
				}
				if err := p.Bound(int64(len(hello)) * int64(n%2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if got := names(t, filepath.Join(p.dir, "views")) + names(t, p.sources(".")); got != testSources.key {
		t.Errorf("left are %q", got)
	}
}
