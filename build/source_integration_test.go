//go:build integration

package build

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	r := &Runner{Options: Options{
		Config:   &config.Config{Path: "config.yml", Dir: dir},
		Settings: config.Settings{DebianAptGetProxy: proxy.URL, AptAuthFile: auth},
	}}
	// The mirror is a whole line of sources.list, as mmdebstrap takes it; the
	// private repository is all there is.
	tar, err := r.bootstrap(t.Context(), &config.Base{Name: "base", Source: config.Source{Kind: config.Release, Value: "bookworm"},
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
