package layers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const status = `Package: hello
Status: install ok installed
Architecture: amd64
Version: 2.10-3
Description: says hello
 Status: is not this line
 .

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: epoch
Version: 1:2.0+b1
Architecture: all
Status: hold ok installed

Package: ../evil
Version: 1
Architecture: all
Status: install ok installed
`

func TestInstalledArchives(t *testing.T) {
	got := installedArchives(strings.NewReader(status))
	if diff := cmp.Diff([]string{"hello_2.10-3_amd64.deb", "epoch_1%3a2.0+b1_all.deb"}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzInstalledArchives(f *testing.F) {
	f.Add(status)
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range installedArchives(strings.NewReader(text)) {
			if strings.Contains(name, "/") || !strings.HasSuffix(name, ".deb") {
				t.Errorf("%q is no file of the pool", name)
			}
		}
	})
}

// pool makes files of 10 bytes that were used that many hours ago.
func pool(t *testing.T, hours map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	for name, ago := range hours {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, 10), 0o644); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(-time.Duration(ago) * time.Hour)
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func left(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A package that an image still has is dated today, so that others go first.
func TestMarkUsed(t *testing.T) {
	dir := pool(t, map[string]int{"hello_2.10-3_amd64.deb": 9, "epoch_1%3a2.0+b1_all.deb": 8, "other_1_all.deb": 1})
	c := &Container{root: overlay{upper: t.TempDir()}}
	if err := c.markUsed(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.root.upper, dpkgStatus)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(status), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.markUsed(dir); err != nil {
		t.Fatal(err)
	}
	if err := bound(dir, 20); err != nil {
		t.Fatal(err)
	}
	if got, want := left(t, dir), "epoch_1%3a2.0+b1_all.deb hello_2.10-3_amd64.deb"; got != want {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// TestPoolInParallel fills containers of a pool and gives back to it while it
// is bound.
func TestPoolInParallel(t *testing.T) {
	dir := pool(t, nil)
	var work sync.WaitGroup
	for n := range 8 {
		mine := pool(t, map[string]int{fmt.Sprintf("mine%d.deb", n): n, "same.deb": n})
		work.Go(func() {
			for range 50 {
				if err := linkFiles(mine, dir); err != nil {
					t.Error(err)
				}
				if err := linkFiles(dir, filepath.Join(mine, "container")); err != nil {
					t.Error(err)
				}
				if err := bound(dir, 30); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if err := bound(dir, 30); err != nil {
		t.Error(err)
	}
	if got := strings.Fields(left(t, dir)); len(got) != 3 {
		t.Errorf("left are %v, want three", got)
	}
}

// A step may replace the folder of packages by a link. On the builder that link
// leads somewhere else: nothing of that becomes a package for other containers.
func TestKeepAptFollowsNoLink(t *testing.T) {
	builders, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(builders, "shadow"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Container{engine: &Engine{stateDir: t.TempDir()}, dir: dir, root: overlay{upper: t.TempDir()}, lists: "key"}
	archives := c.aptDir("cache/archives")
	if err := os.MkdirAll(filepath.Dir(archives), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(builders, archives); err != nil {
		t.Fatal(err)
	}
	if err := c.keepApt(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(c.engine.aptPool(), "shadow")); !os.IsNotExist(err) {
		t.Errorf("a file of the builder is in the pool of packages: %v", err)
	}
}

func TestLoopbackOf(t *testing.T) {
	for proxy, want := range map[string]string{
		"http://127.0.0.1:3142":        "127.0.0.1:3142",
		"http://localhost:3142/":       "localhost:3142",
		"http://[::1]:3142":            "[::1]:3142",
		"http://127.8.8.8":             "127.8.8.8:80",
		"https://localhost":            "localhost:443",
		"http://apt.localhost:1":       "apt.localhost:1",
		"http://proxy.example.com:80":  "",
		"http://192.0.2.1:3142":        "",
		"http://localhost.example.com": "",
		"":                             "",
	} {
		if got := loopbackOf(proxy); got != want {
			t.Errorf("the loopback of %q is %q, want %q", proxy, got, want)
		}
	}
}
