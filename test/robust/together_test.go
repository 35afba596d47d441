//go:build integration

package robust

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"

	"vauban/release"

	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"

	"vauban/registry"
)

// registers the driver

// Runs of the same masters at the same time, on one state directory, and one
// that prunes: all succeed.
func TestTwoRunsAtOnce(t *testing.T) {
	w := newWorld(t)
	runs := []*run{w.start(t, build...), w.start(t, build...)}
	runs[0].wait(5, 0)
	runs = append(runs, w.start(t, "prune", "--keep", "1"))
	for _, r := range runs {
		if code := r.code(); code != 0 {
			t.Errorf("%q: exit code %d\n%s", r.Args[1:], code, r.said)
		}
	}
	w.check(t)
	before := w.releases(t)
	w.must(t, "prune", "--keep", "1")
	w.check(t)
	if after := w.releases(t); len(after) != 2 || len(before) < len(after) {
		t.Errorf("releases %q, and after pruning %q; want one of each master", before, after)
	}
	w.must(t, build...) // finds all that it needs
}

func (w *world) releases(t *testing.T) (all []string) {
	t.Helper()
	return glob(t, filepath.Join(w.pxe, "*/releases/*"))
}

// server is a registry that other machines share. It may be out of order.
type server struct {
	address, storage string
	// fault is asked before each request, if there is one. False: it took care
	// of the answer.
	fault atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{storage: t.TempDir()}
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": s.storage}, "maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	logrus.SetOutput(io.Discard) // it calls each request news
	app := handlers.NewApp(context.Background(), config)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, request *http.Request) {
		if fault := s.fault.Load(); fault == nil || (*fault)(rw, request) {
			app.ServeHTTP(rw, request)
		}
	}))
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.Start()
	t.Cleanup(web.Close)
	s.address = web.Listener.Addr().String()
	return s
}

// check reads all that the registry holds.
func (s *server) check(t *testing.T) {
	t.Helper()
	checkStorage(t, filepath.Join(s.storage, "docker/registry/v2"))
	r, err := registry.Open(t.Context(), registry.Options{Hostname: s.address})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, dir := range glob(t, filepath.Join(s.storage, "docker/registry/v2/repositories/fleet/*/_manifests"), filepath.Join(s.storage, "docker/registry/v2/repositories/fleet/*/*/_manifests")) {
		image := strings.TrimPrefix(filepath.Dir(dir), filepath.Join(s.storage, "docker/registry/v2/repositories")+"/")
		tags, err := r.Tags(t.Context(), image)
		if err != nil {
			t.Error(err)
		}
		tags = slices.DeleteFunc(tags, func(tag string) bool { _, ok := registry.ParseTimestamp(tag); return !ok })
		if len(tags) == 0 {
			continue // a push that did not come to its end
		}
		newest, err := r.Resolve(t.Context(), image, tags[len(tags)-1])
		if err != nil {
			t.Error(err)
		}
		latest, err := r.Resolve(t.Context(), image, registry.Latest)
		if err != nil || latest.Digest != newest.Digest {
			t.Errorf("latest of %s is %s (%v), the newest of %q is %s", image, latest.Digest, err, tags, newest.Digest)
		}
	}
}

// on makes a world use this registry.
func (s *server) on(w *world) *world {
	w.env = append(w.env, "REGISTRY_HOSTNAME="+s.address+"/fleet")
	return w
}

// Two machines build the same masters at once, push to one registry and
// publish in one tree.
func TestTwoMachinesAtOnce(t *testing.T) {
	s, pxe := newServer(t), t.TempDir()
	a, b := s.on(bareWorld(t, t.TempDir())), s.on(bareWorld(t, t.TempDir()))
	a.importBase(t, s.address+"/fleet") // the other pulls it
	for _, w := range []*world{a, b} {
		w.pxe = pxe
		w.env = append(w.env, "UPLOAD_DIR="+pxe)
	}
	runs := []*run{a.start(t, build...), b.start(t, build...)}
	for _, r := range runs {
		if code := r.code(); code != 0 {
			t.Errorf("exit code %d\n%s", code, r.said)
		}
	}
	a.check(t)
	b.check(t)
	s.check(t)
	// What is served was made of images that the registry has: each machine
	// can cut conffs on the other's.
	for _, w := range []*world{a, b} {
		w.must(t, "build", "two", "--stage", "conffs")
	}
	for _, master := range []string{"one", "two"} {
		p, err := release.Current(pxe, master)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkTag(filepath.Join(s.storage, "docker/registry/v2"), filepath.Join(s.storage, "docker/registry/v2/repositories/fleet", master),
			link(t, p.Rootfs.Image.String())); err != nil {
			t.Errorf("the image of what is served of %s: %v", master, err)
		}
	}
	a.check(t)
	b.check(t)
	s.check(t)
}

// link is a file that names a manifest, as a tag's does.
func link(t *testing.T, digest string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(path, []byte(digest), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
