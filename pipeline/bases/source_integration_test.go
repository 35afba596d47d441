//go:build integration

package bases

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vauban/config"
	"vauban/internal/testenv"
)

// A base is bootstrapped through apt's proxy and with its credentials, and
// holds neither.
func TestBootstrapThroughProxy(t *testing.T) {
	proxy := testenv.StartAptProxy(t)
	dir := t.TempDir()
	auth := filepath.Join(dir, "it's auth.conf")
	if err := os.WriteFile(auth, []byte(testenv.PrivateAuth()), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Opener{
		Config:   &config.Config{Path: "config.yml", Dir: dir},
		Settings: config.Settings{DebianAptGetProxy: proxy.URL, AptAuthFile: auth},
	}
	// The mirror is a whole line of sources.list, as mmdebstrap takes it; the
	// private repository is all there is.
	tar, err := o.bootstrap(t.Context(), &config.Base{Name: "base", Source: config.Source{Kind: config.Release, Value: "bookworm"},
		Variant: "extract", Include: []string{testenv.PrivatePackage}, Mirror: testenv.PrivateSource})
	if err != nil {
		t.Fatal(err)
	}
	defer tar.Close()
	data, err := io.ReadAll(tar)
	if err != nil {
		t.Fatal(err)
	}
	if proxy.Requests(testenv.PrivateHost) == 0 {
		t.Error("the proxy was not asked")
	}
	for _, canary := range []string{testenv.PrivatePassword, proxy.URL, "zz-vauban"} {
		if strings.Contains(string(data), canary) {
			t.Errorf("%q is in the base", canary)
		}
	}
	if !strings.Contains(string(data), testenv.PrivateFile[1:]) {
		t.Error("the private package is not in the base")
	}
}

// A base of a moment has what the archives had then, though that has expired,
// says so in its sources, and is the same each time.
func TestBootstrapSnapshot(t *testing.T) {
	const moment = "20250520T000000Z"
	at, err := time.Parse("20060102T150405Z", moment)
	if err != nil {
		t.Fatal(err)
	}
	snapshots, keyring := testenv.Snapshots(t, at, []string{"archive/debian", "archive/debian-security"},
		[]string{"bookworm", "bookworm-updates", "bookworm-security"})
	proxy := testenv.StartAptProxy(t)
	proxy.Serve("snapshot.debian.org", snapshots)
	o := &Opener{Config: &config.Config{Path: "config.yml", Dir: t.TempDir()}, Settings: config.Settings{DebianAptGetProxy: proxy.URL}}
	bootstrap := func(b config.Base) ([]byte, error) {
		b.Name, b.Source = "base", config.Source{Kind: config.Release, Value: "bookworm"}
		b.Variant, b.Include, b.Keyring = "extract", []string{testenv.PrivatePackage}, keyring
		tar, err := o.bootstrap(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		defer tar.Close()
		return io.ReadAll(tar)
	}
	const mirror = "http://snapshot.debian.org/archive/debian"
	first, err := bootstrap(config.Base{Snapshot: moment})
	if err != nil {
		t.Fatal(err)
	}
	again, err := bootstrap(config.Base{Snapshot: moment})
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the same moment gives %d bytes and %d other ones: %v", len(first), len(again), err)
	}
	files, err := filesOf(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	const want = `deb [check-valid-until=no] http://snapshot.debian.org/archive/debian/20250520T000000Z/ bookworm main
deb [check-valid-until=no] http://snapshot.debian.org/archive/debian/20250520T000000Z/ bookworm-updates main
deb [check-valid-until=no] http://snapshot.debian.org/archive/debian-security/20250520T000000Z/ bookworm-security main
`
	if got := strings.ReplaceAll(files["./etc/apt/sources.list"], "\n\n", "\n"); got != want {
		t.Errorf("sources.list is\n%s", got)
	}
	key, err := os.ReadFile(keyring)
	if err != nil || files["./etc/apt/trusted.gpg.d/vauban-key.gpg"] != string(key) {
		t.Errorf("the key of the archives is not in the base, whose stages need it: %v", err)
	}
	if files["."+testenv.PrivateFile] == "" {
		t.Error("the package of the snapshot is not in the base")
	}
	if _, err := bootstrap(config.Base{Snapshot: moment, Mirror: mirror}); err != nil {
		t.Errorf("with a mirror: %v", err)
	}
	if _, err := bootstrap(config.Base{Mirror: mirror + "/" + moment}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("the snapshots are not as old as they should be for this test: %v", err)
	}
}
