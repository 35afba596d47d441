//go:build integration

package layers_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"vauban/internal/testenv"
	"vauban/layers"
)

// aptEngine is one more run on the shared engine's state, with its own apt.
func aptEngine(t *testing.T, apt layers.AptOptions) (*layers.Engine, layers.Image) {
	t.Helper()
	_, base := shared.use(t)
	e, err := layers.Open(t.Context(), layers.Options{StateDir: shared.dir, Embedded: true, Version: "test", Apt: apt, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, base
}

func authFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.conf")
	if err := os.WriteFile(path, []byte(testenv.PrivateAuth()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A proxy on the builder's loopback and a private repository serve a container
// that has a network of its own, and leave nothing in its image.
func TestAptProxyAndCredentials(t *testing.T) {
	proxy := testenv.StartAptProxy(t)
	pool := t.TempDir()
	e, base := aptEngine(t, layers.AptOptions{Proxy: proxy.URL, AuthFile: authFile(t), Pool: pool})
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, port, _ := net.SplitHostPort(other.Addr().String())
	_, proxyPort, _ := net.SplitHostPort(strings.TrimPrefix(proxy.URL, "http://"))

	to := target("private", base)
	to.AptLists = true
	img := applyOne(t, e, script(fmt.Sprintf(`
		test "$(stat -c %%a /etc/apt/auth.conf.d/zz-vauban.conf)" = 600
		! echo >/etc/apt/auth.conf.d/zz-vauban.conf
		for port in %s %s; do
			for host in 10.0.2.2 127.0.0.1; do
				! python3 -c "import socket; socket.create_connection(('$host', $port), 2)" 2>/dev/null
			done
		done
		echo '%s' >/etc/apt/sources.list.d/private.list
		sudo apt-get update -qq
		apt-get install -qy --no-install-recommends hello %s
		test "$(cat %s)" = "from the private repository"
		echo "# kept" >>/etc/apt/apt.conf.d/zz-vauban
	`, port, proxyPort, testenv.PrivateSource, testenv.PrivatePackage, testenv.PrivateFile)), to)
	if private, all := proxy.Requests(testenv.PrivateHost), proxy.Requests(""); private < 2 || all-private < 3 {
		t.Errorf("the proxy was asked %d times, %d of them for the private repository", all, private)
	}
	err = e.Mount(t.Context(), img, func(root string) error {
		for _, path := range []string{"etc/apt/apt.conf.d/zz-vauban", "etc/apt/auth.conf.d/zz-vauban.conf"} {
			if _, err := os.Lstat(filepath.Join(root, path)); err == nil {
				t.Errorf("%s ships", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The private repository is not signed: others fetch its package themselves.
	for name, want := range map[string]int{"hello": 1, testenv.PrivatePackage: 0} {
		if pooled, err := filepath.Glob(filepath.Join(pool, "pool", "*_"+name+"_*.deb")); err != nil || len(pooled) != want {
			t.Errorf("the pool has %v of %s, %v", pooled, name, err)
		}
	}

	config, err := json.Marshal(img.Config)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"layer": layerBytes(t, e, img), "configuration and history": string(config)} {
		for _, canary := range []string{testenv.PrivatePassword, proxyPort, "zz-vauban"} {
			if strings.Contains(text, canary) {
				t.Errorf("%q is in the %s", canary, what)
			}
		}
	}
	noCanary(t, shared.dir)
	noCanary(t, pool)
}

// noCanary looks for the password in all files of a folder.
func noCanary(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > 8<<20 {
			return nil
		}
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(testenv.PrivatePassword)) {
			t.Errorf("the password is in %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// layerBytes is what an image's last layer holds, unpacked.
func layerBytes(t *testing.T, e *layers.Engine, img layers.Image) string {
	t.Helper()
	desc := img.Manifest.Layers[len(img.Manifest.Layers)-1]
	blob, err := e.Store().ReaderAt(e.Context(context.Background()), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	unpacked, err := gzip.NewReader(io.NewSectionReader(blob, 0, blob.Size()))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// layerNames are the paths of an image's last layer, directories too.
func layerNames(t *testing.T, e *layers.Engine, img layers.Image) (names []string) {
	t.Helper()
	for archive := tar.NewReader(strings.NewReader(layerBytes(t, e, img))); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

// The same step changes the same paths, whatever its apt was lent.
func TestAptLeavesNoTrace(t *testing.T) {
	plain, base := shared.use(t)
	lent, _ := aptEngine(t, layers.AptOptions{Proxy: testenv.StartAptProxy(t).URL, AuthFile: authFile(t)})
	const step = script(`touch /srv/file`)
	want := layerNames(t, plain, applyOne(t, plain, step, target("same", base)))
	got := layerNames(t, lent, applyOne(t, lent, step, target("same", base)))
	if len(want) == 0 || !slices.Equal(want, got) {
		t.Errorf("without a proxy the layer has %q, with one %q", want, got)
	}
	// A stage that clears the folder finds nothing in its way.
	applyOne(t, lent, `rm -r /etc/apt/apt.conf.d`, target("cleared", base))
}

// A container in the builder's network uses the proxy as it is.
func TestAptProxyOfHostNetwork(t *testing.T) {
	proxy := testenv.StartAptProxy(t)
	e, base := aptEngine(t, layers.AptOptions{Proxy: proxy.URL})
	to := target("host", base)
	to.HostNetwork = true
	live(t, e, to, func(c *layers.Container) {
		if said := mustSh(t, c, `. /dev/stdin <<-X
			$(apt-config shell proxy Acquire::http::Proxy)
			X
			echo $proxy`); said != proxy.URL {
			t.Errorf("the proxy is %q, want %q", said, proxy.URL)
		}
	})
}

// A pool that is too small for what several containers fetch at once keeps
// within its size and fails none of them.
func TestAptPoolIsBounded(t *testing.T) {
	const size = 120 << 10 // more than the largest of them
	pool := t.TempDir()
	e, base := aptEngine(t, layers.AptOptions{Pool: pool, PoolSize: size})
	first := target("lists", base)
	first.AptLists = true
	applyOne(t, e, `true`, first)
	for _, r := range apply(t, e, install("hello sl"), target("pool01", base), target("pool02", base), target("pool03", base)) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	var held int64
	debs, err := filepath.Glob(filepath.Join(pool, "pool/*.deb"))
	if err != nil || len(debs) == 0 {
		t.Errorf("the pool holds %v, %v", debs, err)
	}
	for _, deb := range debs {
		info, err := os.Stat(deb)
		if err != nil {
			t.Fatal(err)
		}
		held += info.Size()
	}
	if held > size {
		t.Errorf("the pool holds %d bytes in %v, more than %d", held, debs, size)
	}
}

// What cannot be lent is told before anything runs.
func TestAptOptionsRefused(t *testing.T) {
	readable := authFile(t)
	if err := os.Chmod(readable, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, apt := range map[string]layers.AptOptions{
		"chmod 600":         {AuthFile: readable},
		"no such file":      {AuthFile: readable + ".gone"},
		"is not a file":     {AuthFile: filepath.Dir(readable)},
		"APT_AUTH_FILE":     {Proxy: "http://user:password@proxy.example.com"},
		"DEBIAN_CACHE_PATH": {Pool: filepath.Join(readable, "pool")},
		"no URL of a proxy": {Proxy: "http://proxy\";Dir \"/"},
	} {
		e, err := layers.Open(t.Context(), layers.Options{StateDir: t.TempDir(), Embedded: true, Apt: apt})
		if err == nil {
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "password@") {
			t.Errorf("%+v: error %v, want one about %q", apt, err, want)
		}
	}
}
