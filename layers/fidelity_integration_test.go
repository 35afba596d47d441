//go:build integration

package layers_test

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"vauban/internal/testenv"
	"vauban/internal/treecmp"
	"vauban/layers"
	"vauban/layers/daemon"
	"vauban/registry"
)

//go:embed testdata/awkward-make.py
var awkwardMake string

//go:embed testdata/awkward-change.py
var awkwardChange string

// A layer is the tree that the container had: for the engine itself, for other
// tools that pull the image, and for a containerd that unpacks it.
func TestALayerIsTheContainersTree(t *testing.T) {
	e, base := shared.use(t)
	made := applyStep(t, e, python{awkwardMake, ""}, target("fidelity", base))
	tree := filepath.Join(t.TempDir(), "container")
	changed := applyStep(t, e, python{awkwardChange, tree}, target("fidelity", made))

	t.Run("in the engine", func(t *testing.T) { compareMount(t, e, changed, tree) })

	r, err := registry.Open(t.Context(), registry.Options{StateDir: t.TempDir(), BlobPath: e.BlobPath, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pushed := registry.PushOptions{Tags: []string{"2026-01-02T030405Z", registry.Latest}}
	if _, err := r.Push(e.Context(t.Context()), "awkward", changed.Descriptor, e.Store(), pushed); err != nil {
		t.Fatal(err)
	}
	t.Run("pulled by skopeo, unpacked by umoci", func(t *testing.T) {
		// The oldest umoci about takes an empty value for none.
		compareTrees(t, tree, unpackElsewhere(t, r, "awkward"), `srv/a/attributes: xattr user.empty "" (0 bytes), missing`)
	})
	t.Run("pulled by another engine", func(t *testing.T) {
		dir := t.TempDir()
		other := testenv.Engine(t, dir)
		result, err := r.Pull(other.Context(t.Context()), "awkward", registry.Latest, other.Store())
		if err != nil {
			t.Fatal(err)
		}
		img, err := other.Load(t.Context(), result.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		compareMount(t, other, img, tree, dateOfContainerd)
		compareSnapshots(t, shared.dir, dir, img)
	})
}

// python is a step that runs a Python script, then copies the tree that the
// container has to a directory of the builder.
type python struct{ script, copyTo string }

func (p python) Key(ctx context.Context, host string) (digest.Digest, error) {
	return script(p.script).Key(ctx, host)
}

func (p python) Run(ctx context.Context, containers []*layers.Container) error {
	for _, c := range containers {
		var said strings.Builder
		err := c.Exec(ctx, layers.Process{Args: []string{"python3", "-"}, Stdin: strings.NewReader(p.script), Stdout: &said, Stderr: &said})
		if err != nil {
			return fmt.Errorf("%w: %s", err, said.String())
		}
		if p.copyTo == "" {
			continue
		}
		root := fmt.Sprintf("/proc/%d/root/.", c.Pid())
		copied := exec.CommandContext(ctx, "cp", "--archive", "--one-file-system", "--sparse=always", "--no-target-directory", root, p.copyTo)
		if out, err := copied.CombinedOutput(); err != nil {
			return fmt.Errorf("copying the container's tree: %w: %s", err, out)
		}
	}
	return nil
}

func applyStep(t *testing.T, e *layers.Engine, step layers.Step, to layers.Target) layers.Image {
	t.Helper()
	result := apply(t, e, step, to)[0]
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	return result.Image
}

func compareMount(t *testing.T, e *layers.Engine, img layers.Image, want string, known ...string) {
	t.Helper()
	err := e.Mount(t.Context(), img, func(root string) error {
		compareTrees(t, want, root, known...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// compareTrees leaves out what a container has for its life only.
func compareTrees(t *testing.T, container, image string, known ...string) {
	t.Helper()
	lent := map[string]bool{
		"etc/resolv.conf": true, "etc/hosts": true, "etc/machine-id": true,
		"dev": true, "proc": true, "sys": true, "run": true, "tmp": true,
		"var/cache/apt": true, "var/lib/apt/lists": true,
	}
	diffs := treecmp.Compare(container, image, treecmp.Options{
		Skip:      func(path string) bool { return lent[path] },
		SkipMtime: func(path string) bool { return path == "." },
	})
	for _, diff := range unexpected(diffs, known...) {
		t.Errorf("container, image: %q", diff)
	}
}

// containerd gives files from before 1970 that date.
const dateOfContainerd = "srv/a/before-epoch: mtime -86400, 0"

// unexpected leaves out the known ones, and most of very many.
func unexpected(diffs []string, known ...string) []string {
	diffs = slices.DeleteFunc(diffs, func(diff string) bool { return slices.Contains(known, diff) })
	return diffs[:min(len(diffs), 50)]
}

// unpackElsewhere gives the root filesystem that other tools make of an image.
func unpackElsewhere(t *testing.T, r *registry.Registry, image string) string {
	t.Helper()
	username, password, err := r.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	login := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	auths, err := json.Marshal(map[string]any{"auths": map[string]any{r.Address(): map[string]string{"auth": login}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	authFile := filepath.Join(dir, "auth.json")
	if err := os.WriteFile(authFile, auths, 0o600); err != nil {
		t.Fatal(err)
	}
	layout, bundle := filepath.Join(dir, "layout"), filepath.Join(dir, "bundle")
	for _, argv := range [][]string{
		{"skopeo", "--insecure-policy", "copy", "--quiet", "--authfile", authFile, "--src-tls-verify=false", "docker://" + r.Address() + "/" + image, "oci:" + layout + ":it"},
		{"umoci", "unpack", "--image", layout + ":it", bundle},
	} {
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	return filepath.Join(bundle, "rootfs")
}

// compareSnapshots looks at each layer of an image as two containerds keep it:
// one committed what a container left, the other unpacked the layer.
func compareSnapshots(t *testing.T, committed, unpacked string, img layers.Image) {
	t.Helper()
	a, b := snapshotDirs(t, committed, img), snapshotDirs(t, unpacked, img)
	for i := range a {
		if diff := cmp.Diff(whiteouts(t, a[i]), whiteouts(t, b[i])); diff != "" {
			t.Errorf("layer %d deletes (-committed +unpacked):\n%s", i+1, diff)
		}
		diffs := treecmp.Compare(a[i], b[i], treecmp.Options{
			Skip:      func(path string) bool { return isWhiteout(filepath.Join(a[i], path)) },
			SkipMtime: func(path string) bool { return path == "." },
		})
		for _, diff := range unexpected(diffs, dateOfContainerd) {
			t.Errorf("layer %d, committed, unpacked: %q", i+1, diff)
		}
	}
}

// snapshotDirs are the directories that hold the layers of an image, bottom
// first.
func snapshotDirs(t *testing.T, stateDir string, img layers.Image) []string {
	t.Helper()
	d, err := daemon.Start(t.Context(), daemon.Options{StateDir: stateDir, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	client, err := containerd.New(d.Address(), containerd.WithDefaultNamespace(layers.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, release, err := client.WithLease(namespaces.WithNamespace(t.Context(), layers.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer release(context.WithoutCancel(ctx))
	mounts, err := client.SnapshotService("overlayfs").View(ctx, t.Name(), img.ChainID().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range mounts[0].Options {
		if lower, ok := strings.CutPrefix(option, "lowerdir="); ok {
			dirs := strings.Split(lower, ":")
			slices.Reverse(dirs)
			return dirs
		}
	}
	t.Fatalf("the snapshot is no overlay of several layers: %v", mounts)
	return nil
}

func whiteouts(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && isWhiteout(path) {
			found = append(found, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func isWhiteout(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func TestWhatNoLayerCanHold(t *testing.T) {
	e, base := shared.use(t)
	const listen = `python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' `
	results := apply(t, e, script(`
		case $(hostname) in
		socket) `+listen+`/srv/socket; `+listen+`/var/socket; echo kept >/srv/file ;;
		whiteout) touch /srv/.wh.file ;;
		esac`), target("socket", base), target("whiteout", base))
	if results[0].Err != nil {
		t.Errorf("a socket: %v", results[0].Err)
	} else if got := read(t, e, results[0].Image, "srv/file", "srv/socket", "var/socket"); got["srv/file"] != "kept\n" || got["srv/socket"] != "missing" || got["var/socket"] != "missing" {
		t.Errorf("the image with a socket holds %q", got)
	}
	if err := results[1].Err; err == nil || !strings.Contains(err.Error(), `"srv/.wh.file"`) || !strings.Contains(err.Error(), `"whiteout"`) {
		t.Errorf("the name of a whiteout: %v", err)
	}
}
