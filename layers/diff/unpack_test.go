//go:build integration

package diff

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"vauban/internal/treecmp"
)

// TestLayersUnpack lets others unpack layers and compares with what overlayfs
// shows.
func TestLayersUnpack(t *testing.T) {
	forSeeds(t, func(t *testing.T, seed uint64) {
		s, layers := randomStack(t, seed)
		base := s.layer(s.root()) // a root filesystem is a layer over nothing
		layers = append([][]byte{base}, layers...)
		s.view(func(want string) {
			t.Run("containerd", func(t *testing.T) {
				compare(t, want, applyByContainerd(t, layers), treecmp.Options{
					SkipMtime: func(path string) bool { return isRoot(path) || before1970(t, want, path) },
					SkipXattr: func(path, name string) bool { return lostByContainerd(want, path, name) },
				})
			})
			t.Run("umoci", func(t *testing.T) {
				compare(t, want, unpackByUmoci(t, layers), treecmp.Options{SkipMtime: isRoot, SkipXattr: lostByUmoci})
			})
		})
	})
}

// isRoot: a layer does not say when its root directory changed.
func isRoot(path string) bool { return path == "." }

// before1970: containerd sets such times to 1970.
func before1970(t *testing.T, root, path string) bool {
	info, err := os.Lstat(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().Unix() < 0
}

// lostByContainerd: it leaves out attributes that only root can see, and
// leaves a directory that was made again those it had.
func lostByContainerd(root, path, name string) bool {
	if strings.HasPrefix(name, "trusted.") {
		return true
	}
	full := filepath.Join(root, path)
	info, err := os.Lstat(full)
	_, missing := unix.Lgetxattr(full, name, nil)
	isACL := name == accessACL || name == defaultACL
	return err == nil && info.IsDir() && missing != nil && !isACL
}

// lostByUmoci: it leaves out attributes without a value.
func lostByUmoci(_, name string) bool { return name == "user.empty" }

func compare(t *testing.T, want, got string, o treecmp.Options) {
	t.Helper()
	for _, d := range treecmp.Compare(want, got, o) {
		t.Error(d)
	}
}

func applyByContainerd(t *testing.T, layers [][]byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		if _, err := archive.Apply(t.Context(), dir, bytes.NewReader(layer)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func unpackByUmoci(t *testing.T, layers [][]byte) string {
	t.Helper()
	rootfs := filepath.Join(t.TempDir(), "rootfs")
	layout := layoutOf(t, layers)
	out, err := exec.CommandContext(t.Context(), "umoci", "raw", "unpack", "--image", layout+":image", rootfs).CombinedOutput()
	if err != nil {
		t.Fatalf("umoci: %v: %s", err, out)
	}
	return rootfs
}

// layoutOf makes an OCI layout with one image, uncompressed.
func layoutOf(t *testing.T, layers [][]byte) string {
	t.Helper()
	dir := t.TempDir()
	blob := func(mediaType string, content any) ocispec.Descriptor {
		raw, ok := content.([]byte)
		if !ok {
			raw = toJSON(t, content)
		}
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		write(t, filepath.Join(dir, "blobs", strings.Replace(d.Digest.String(), ":", "/", 1)), raw)
		return d
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers"}}
	for _, layer := range layers {
		manifest.Layers = append(manifest.Layers, blob(ocispec.MediaTypeImageLayer, layer))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
	}
	manifest.Config = blob(ocispec.MediaTypeImageConfig, config)
	d := blob(ocispec.MediaTypeImageManifest, manifest)
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "image"}
	write(t, filepath.Join(dir, "index.json"), toJSON(t, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{d}}))
	write(t, filepath.Join(dir, "oci-layout"), toJSON(t, ocispec.ImageLayout{Version: "1.0.0"}))
	return dir
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
