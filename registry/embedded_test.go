package registry

import (
	"bytes"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

func TestEmbeddedLetsNobodyElseIn(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	response, err := http.Get("http://" + r.Address() + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger gets status %d", response.StatusCode)
	}
	username, password, err := r.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := open(t, Options{Hostname: r.Address(), Username: username, Password: password}).Check(t.Context()); err != nil {
		t.Errorf("with the registry's own login: %v", err)
	}
}

// diskUse is what the files below some folders take, each inode once.
func diskUse(t *testing.T, dirs ...string) (bytes int64) {
	t.Helper()
	seen := map[uint64]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			if stat := info.Sys().(*syscall.Stat_t); !seen[stat.Ino] {
				seen[stat.Ino] = true
				bytes += stat.Blocks * 512
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return bytes
}

func TestEmbeddedLinksBlobsOfTheContentStore(t *testing.T) {
	root := t.TempDir()
	storeDir, state := filepath.Join(root, "content"), filepath.Join(root, "state")
	store, err := local.NewStore(storeDir)
	if err != nil {
		t.Fatal(err)
	}
	blobPath := func(blob digest.Digest) (string, bool) {
		return filepath.Join(storeDir, "blobs", blob.Algorithm().String(), blob.Encoded()), true
	}
	desc, layers := newImage(t, store)
	before := diskUse(t, root)

	r := open(t, Options{StateDir: state, BlobPath: blobPath})
	got := mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{noonTag, Latest}})
	if got.Linked != 2 || got.Blobs != 0 {
		t.Errorf("pushed %+v, want 2 blobs linked", got)
	}
	got = mustPush(t, r, "web/host", desc, store, PushOptions{Tags: []string{noonTag, Latest}})
	if got.Linked != 2 || got.Blobs != 0 {
		t.Errorf("pushed %+v under another name, want 2 blobs linked", got)
	}
	if grown := diskUse(t, root) - before; grown > layerSize/2 {
		t.Errorf("pushing layers of %d bytes took %d bytes of disk", layerSize, grown)
	}
	name, _ := blobPath(layers[0].Digest)
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if links := info.Sys().(*syscall.Stat_t).Nlink; links != 2 {
		t.Errorf("the layer has %d names, want 2", links)
	}

	// The registry's name keeps the content when the store drops its own.
	if err := store.Delete(t.Context(), layers[0].Digest); err != nil {
		t.Fatal(err)
	}
	pulled, err := r.Pull(t.Context(), "web/host", Latest, store)
	if err != nil || pulled.Fetched != 1 {
		t.Errorf("pulled %d blobs (%v), want the one that is missing", pulled.Fetched, err)
	}
}

func TestEmbeddedCopiesWhatItCannotLink(t *testing.T) {
	damaged := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(damaged, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, blobPath := range map[string]func(digest.Digest) (string, bool){
		"no file":           func(digest.Digest) (string, bool) { return "", false },
		"absent":            func(digest.Digest) (string, bool) { return "/absent", true },
		"wrong size":        func(digest.Digest) (string, bool) { return damaged, true },
		"other file system": func(digest.Digest) (string, bool) { return "/proc/self/status", true },
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, Options{StateDir: t.TempDir(), BlobPath: blobPath})
			store := newStore(t)
			desc, _ := newImage(t, store)
			if got := mustPush(t, r, "web", desc, store, PushOptions{}); got.Blobs != 2 || got.Linked != 0 {
				t.Errorf("pushed %+v, want 2 blobs copied", got)
			}
		})
	}
}

func TestSweep(t *testing.T) {
	dir, store := t.TempDir(), newStore(t)
	r := open(t, Options{StateDir: dir})
	kept, layers := newImage(t, store)
	dropped, _ := newImage(t, store, layers...)
	mustPush(t, r, "web", kept, store, PushOptions{Tags: []string{noonTag}})
	mustPush(t, r, "web", dropped, store, PushOptions{Tags: []string{laterTag}})
	if err := r.Delete(t.Context(), "web", laterTag); err != nil {
		t.Fatal(err)
	}
	before := diskUse(t, dir)

	other := open(t, Options{StateDir: dir})
	if err := r.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), ErrInUse.Error()) {
		t.Errorf("sweeping while another run is there: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if freed := before - diskUse(t, dir); freed < layerSize {
		t.Errorf("sweeping freed %d bytes, want the layer of %d that nothing names", freed, layerSize)
	}
	if _, err := r.Pull(t.Context(), "web", noonTag, newStore(t)); err != nil {
		t.Errorf("what is still tagged: %v", err)
	}
	if _, err := r.Resolve(t.Context(), "web", dropped.Digest.String()); !errdefs.IsNotFound(err) {
		t.Errorf("what nothing names: %v", err)
	}
	// The same image can come back after its blobs were swept.
	mustPush(t, open(t, Options{StateDir: dir}), "web", dropped, store, PushOptions{Tags: []string{laterTag}})
	if _, err := r.Pull(t.Context(), "web", laterTag, newStore(t)); err != nil {
		t.Error(err)
	}
}

// A run that was killed leaves its mark, a half upload and temporary files.
func TestEmbeddedTidiesAfterAKilledRun(t *testing.T) {
	dir, store := t.TempDir(), newStore(t)
	desc, _ := newImage(t, store)
	first := open(t, Options{StateDir: dir})
	mustPush(t, first, "web", desc, store, PushOptions{Tags: []string{noonTag}})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	repository := filepath.Join(dir, "registry/docker/registry/v2/repositories/web")
	upload := filepath.Join(repository, "_uploads/0193/data")
	link := filepath.Join(repository, "_manifests/tags", laterTag, "current/link.0193.tmp")
	for _, name := range []string{filepath.Join(dir, "registry/in-use"), upload, link} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, Options{StateDir: dir})
	for _, name := range []string{upload, link} {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
	// The later timestamp is listed, but names nothing.
	got := mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{Latest}})
	if len(got.Tags) != 1 {
		t.Errorf("tags set: %q, want latest", got.Tags)
	}
	if _, err := r.Pull(t.Context(), "web", Latest, newStore(t)); err != nil {
		t.Error(err)
	}
}

// A write that failed may leave parts: the run that saw it removes them.
func TestEmbeddedTidiesAfterAFailedWrite(t *testing.T) {
	for _, fails := range []bool{true, false} {
		dir, store := t.TempDir(), newStore(t)
		desc, _ := newImage(t, store)
		r := open(t, Options{StateDir: dir})
		repositories := filepath.Join(dir, "registry/docker/registry/v2/repositories")
		upload := filepath.Join(repositories, "web/_uploads/0193/startedat.0193.tmp")
		if err := os.MkdirAll(filepath.Dir(upload), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(upload, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if fails { // no folder can be made where a file is
			if err := os.Mkdir(filepath.Join(repositories, "db"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(repositories, "db", "_uploads"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, pushed := r.Push(t.Context(), "db", desc, store, PushOptions{Tags: []string{noonTag}})
		if (pushed != nil) != fails {
			t.Fatalf("pushing: %v", pushed)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(upload); os.IsNotExist(err) != fails {
			t.Errorf("a push failed: %v; the upload: %v; %v", fails, err, pushed)
		}
	}
}

func TestEmbeddedLogsThroughSlogOnly(t *testing.T) {
	var stray bytes.Buffer
	logrus.SetOutput(&stray)
	t.Cleanup(func() { logrus.SetOutput(os.Stderr) })
	for level, wantLines := range map[slog.Level]bool{levelTrace: true, slog.LevelDebug: false, slog.LevelInfo: false} {
		var logged bytes.Buffer
		r := open(t, Options{
			StateDir: t.TempDir(),
			Log:      slog.New(slog.NewTextHandler(io.Writer(&logged), &slog.HandlerOptions{Level: level})),
		})
		store := newStore(t)
		stray.Reset() // the store has something to say too
		desc, _ := newImage(t, store)
		mustPush(t, r, "web", desc, store, PushOptions{Tags: []string{Latest}})
		if err := r.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(logged.String(), "embedded registry: response completed"); got != wantLines {
			t.Errorf("at level %s the registry's lines are there: %v, want %v\n%s", level, got, wantLines, logged.String())
		}
		if stray.Len() > 0 {
			t.Errorf("lines outside of slog:\n%s", stray.String())
		}
	}
}
