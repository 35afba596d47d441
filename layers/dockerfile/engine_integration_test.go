//go:build integration

package dockerfile_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/internal/testenv"
	"vauban/layers"
	"vauban/layers/daemon"
)

// TestMain makes the test binary containerd or its shim when it was started as
// one of them.
func TestMain(m *testing.M) {
	if daemon.Dispatch(os.Args) {
		return
	}
	os.Exit(m.Run())
}

// openBase opens an engine with the base.
func openBase(t *testing.T) (*layers.Engine, layers.Image) {
	t.Helper()
	e, err := layers.Open(t.Context(), layers.Options{StateDir: t.TempDir(), Embedded: true, Version: "test", Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := os.Open(testenv.BaseTar(t))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	img, err := e.ImportRootfs(t.Context(), base, ocispec.ImageConfig{}, layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "mmdebstrap"})
	if err != nil {
		t.Fatal(err)
	}
	return e, img
}

var changed = layers.Change{Created: time.Unix(1700000000, 0), CreatedBy: "test", Labels: map[string]string{"vauban.test": "yes"}}

func targetOf(name string, parent layers.Image) layers.Target {
	return layers.Target{Parent: parent, ContainerOptions: layers.ContainerOptions{Name: name}}
}

// contents gives files of an image, by path.
func contents(t *testing.T, e *layers.Engine, img layers.Image, paths ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := e.Mount(t.Context(), img, func(root string) error {
		for _, path := range paths {
			data, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				return err
			}
			found[path] = string(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
