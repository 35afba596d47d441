package layers

import (
	"strings"
	"testing"

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
