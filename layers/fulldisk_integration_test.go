//go:build integration

package layers_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/layers/daemon"
)

// On a full disk a run fails and says why; what is there stays whole, and the
// next run, with room, works.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	testenv.Plant(t, dir, testenv.Whole)
	e := testenv.Engine(t, dir)
	base := testenv.Base(t, e)
	kept := applyOne(t, e, `echo kept >/srv/file`, target("kept", base))

	const room = 12 << 20
	leaveFree(t, dir, room)
	for name, test := range map[string]struct{ script, says string }{
		"no room for the change": {`head -c 40M /dev/urandom >/srv/large`, "running"},
		// It has room as files, but not once more as a layer.
		"no room for the layer": {`head -c 8M /dev/urandom >/srv/large`, "writing the layer"},
	} {
		t.Run(name, func(t *testing.T) {
			result := apply(t, e, script(test.script), target("full01", base))[0]
			if err := result.Err; err == nil || !strings.Contains(strings.ToLower(err.Error()), "no space left on device") || !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %v", err)
			}
			checkNothingLeft(t, dir)
			checkNoIngests(t, dir)
			// containerd removes files in the background.
			eventually(t, "the room is free again", func() bool { return free(t, dir) > room-1<<20 })
		})
	}
	t.Run("no room at all", func(t *testing.T) {
		full := fill(t, filepath.Join(dir, "full"))
		defer os.Remove(full)
		_, err := e.Apply(t.Context(), script(`true`), change, target("full01", base))
		if err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("Apply: %v", err)
		}
	})

	leaveFree(t, dir, 512<<20)
	checkNothingLeft(t, dir)
	checkNoIngests(t, dir)
	img := applyOne(t, e, `head -c 8M /dev/urandom >/srv/large`, target("full01", kept))
	if got := read(t, e, img, "srv/file"); got["srv/file"] != "kept\n" {
		t.Errorf("the image holds %q", got)
	}
	if err := e.Mount(t.Context(), img, func(root string) error { return readAll(root) }); err != nil {
		t.Error(err)
	}
}

// leaveFree sizes the tmpfs at dir so that it has room for so many bytes.
func leaveFree(t *testing.T, dir string, free uint64) {
	t.Helper()
	st := statfs(t, dir)
	size := (st.Blocks-st.Bfree)*uint64(st.Bsize) + free
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
}

func free(t *testing.T, dir string) uint64 {
	t.Helper()
	st := statfs(t, dir)
	return st.Bfree * uint64(st.Bsize)
}

func statfs(t *testing.T, dir string) (st unix.Statfs_t) {
	t.Helper()
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// fill writes a file until no byte more can be written.
func fill(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return path
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func readAll(root string) error {
	return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			_, err = os.ReadFile(path)
		}
		return err
	})
}

// checkNoIngests looks for blobs that are half written.
func checkNoIngests(t *testing.T, dir string) {
	t.Helper()
	d, err := daemon.Start(t.Context(), daemon.Options{StateDir: dir, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	client, err := containerd.New(d.Address(), containerd.WithDefaultNamespace(layers.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	found, err := client.ContentStore().ListStatuses(namespaces.WithNamespace(t.Context(), layers.Namespace))
	if err != nil || len(found) > 0 {
		t.Errorf("ingests %v, error %v", found, err)
	}
}
