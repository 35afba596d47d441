package layers

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/layers/aptpool"
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

func TestMountsOverlays(t *testing.T) {
	for release, want := range map[string]bool{"5.10.0-28-amd64": false, "5.11.0": true, "6.1.0-9-amd64": true, "6.18.44-fc-v657": true, "4.19.0": false, "": false} {
		if got := mountsOverlays(release); got != want {
			t.Errorf("Linux %q: %v", release, got)
		}
	}
}

// Whatever an image says of its release and sources names one folder of the pool.
func FuzzSources(f *testing.F) {
	f.Add([]byte("ID=debian\nVERSION_ID=\"12\"\n"), []byte("deb http://deb.debian.org/debian bookworm main"))
	f.Add([]byte("ID=../../x\x00\n"), []byte("deb [check-valid-until=no] http://x /"))
	f.Fuzz(func(t *testing.T, release, text []byte) {
		dir := t.TempDir()
		pool, err := aptpool.Open(filepath.Join(dir, "pool"), nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		sources := aptpool.NewSources(releaseIn(release), text)
		if sources.Empty() != (len(text) == 0) {
			t.Errorf("%q has no sources: %v", text, sources.Empty())
		}
		if _, err := pool.View("c", sources); err != nil {
			t.Errorf("%q, %q: %v", release, text, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%v beside the pool, %v", entries, err)
		}
	})
}

// Nobody becomes root, or keeps being it, by a number that is none.
func FuzzUser(f *testing.F) {
	f.Add("daemon", []byte("daemon:x:1:1::/:/bin/sh\n"), []byte("daemon:x:1:\nadm:x:4:daemon\n"))
	f.Add("a", []byte("a:x:-1:4294967296::/:\n"), []byte("b:x:4294967295:a\n"))
	f.Add("1000:1000", []byte(""), []byte(""))
	f.Add("a:b", []byte("a:b:c"), []byte("::::"))
	f.Fuzz(func(t *testing.T, who string, passwd, group []byte) {
		found, err := userIn(who, passwd, group)
		if err != nil {
			return
		}
		for _, id := range append([]int{found.Uid, found.Gid}, found.Sgids...) {
			if int(uint32(id)) != id || uint32(id) == math.MaxUint32 {
				t.Errorf("%q is %d", who, id)
			}
		}
	})
}
