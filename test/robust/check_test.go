//go:build integration

package robust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vauban/release"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"

	"vauban/layers"
	"vauban/layers/daemon"
)

// check looks for all that a machine without a run must not have. Runs are the
// ids of those that were there.
func (w *world) check(t *testing.T, runs ...string) {
	t.Helper()
	w.checkProcesses(t, runs)
	w.checkKernel(t, runs)
	w.checkFiles(t)
	w.checkContainerd(t)
	w.checkRegistry(t)
	w.checkTree(t)
}

// runs are the ids of the runs that left a lock, dead or alive.
func (w *world) runs(t *testing.T) (ids []string) {
	t.Helper()
	for _, path := range glob(t, filepath.Join(w.state, "run", "*.lock")) {
		ids = append(ids, strings.TrimSuffix(filepath.Base(path), ".lock"))
	}
	return ids
}

// process is one of this world's.
type process struct {
	pid     int
	command string
}

// processes are those that carry the world's name in their environment, their
// command line or their cgroup, the containerd that lingers left out.
func (w *world) processes(t *testing.T, runs []string) (found []process) {
	t.Helper()
	for _, proc := range glob(t, "/proc/[0-9]*") {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// One that has ended meanwhile has none of these.
		environ, _ := os.ReadFile(filepath.Join(proc, "environ"))
		command, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		cgroup, _ := os.ReadFile(filepath.Join(proc, "cgroup"))
		inContainer := slices.ContainsFunc(runs, func(id string) bool { return strings.Contains(string(cgroup), "/vauban/"+id+"-") })
		ours := inContainer || strings.Contains(string(environ), "TMPDIR="+w.temp+"\x00") || strings.Contains(string(command), w.dir+"/") ||
			slices.ContainsFunc(runs, func(id string) bool { return strings.Contains(string(command), "-id\x00"+id+"-") })
		if ours && !strings.Contains(string(command), "__containerd\x00") {
			found = append(found, process{pid, strings.ReplaceAll(string(command), "\x00", " ")})
		}
	}
	return found
}

func (w *world) checkProcesses(t *testing.T, runs []string) {
	t.Helper()
	var left []process
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = w.processes(t, runs); len(left) == 0 {
			return
		}
	}
	t.Errorf("processes: %v", left)
}

// checkKernel looks for mounts, cgroups and runc's notes.
func (w *world) checkKernel(t *testing.T, runs []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[4]
		if strings.HasPrefix(point, w.dir+"/") && !slices.Contains(w.disks, point) || slices.ContainsFunc(runs, func(id string) bool { return strings.Contains(line, id) }) {
			t.Errorf("mount: %s", line)
		}
	}
	for _, id := range runs {
		for _, pattern := range []string{"/sys/fs/cgroup/vauban/", "/sys/fs/cgroup/*/vauban/", "/run/containerd/runc/vauban/", "/run/vauban/*/state/io.containerd.runtime.v2.task/vauban/"} {
			if left := glob(t, pattern+id+"-*"); len(left) > 0 {
				t.Errorf("%q", left)
			}
		}
	}
}

// unfinished are parts of the names that only unfinished things have.
var unfinished = []string{".tmp-", ".tmp", ".new", "partial-", ".try-overlay-"}

func (w *world) checkFiles(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{
		filepath.Join(w.state, "run", "*"), filepath.Join(w.state, "registry", "in-use"), filepath.Join(w.state, "ansible", "vauban-*"),
		filepath.Join(w.state, "git", "*.git", "*.lock"), filepath.Join(w.temp, "[^.]*"),
	} {
		left := slices.DeleteFunc(glob(t, pattern), func(path string) bool { return filepath.Base(path) == "vauban-logs" }) // links for people
		if len(left) > 0 {
			t.Errorf("%q", left)
		}
	}
	for _, top := range []string{w.state, w.pxe, w.dir} {
		err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && (path == filepath.Join(w.state, "containerd") || top == w.dir && (path == w.state || path == w.pxe)) {
				return fs.SkipDir
			}
			if filepath.Base(filepath.Dir(path)) == "_uploads" { // the folder stays
				t.Errorf("unfinished: %s", path)
			}
			for _, part := range unfinished {
				if strings.HasPrefix(e.Name(), part) || strings.HasSuffix(e.Name(), part) || strings.Contains(e.Name(), ".tmp-") {
					t.Errorf("unfinished: %s", path)
					break
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

func (w *world) checkContainerd(t *testing.T) {
	t.Helper()
	d, err := daemon.Start(t.Context(), daemon.Options{StateDir: w.state, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	client, err := containerd.New(d.Address(), containerd.WithDefaultNamespace(layers.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := namespaces.WithNamespace(t.Context(), layers.Namespace)
	if found, err := client.Containers(ctx); err != nil || len(found) > 0 {
		t.Errorf("containers %v, %v", found, err)
	}
	if left, err := client.LeasesService().List(ctx); err != nil || len(left) > 0 {
		t.Errorf("leases %v, %v", left, err)
	}
	if left, err := client.ContentStore().ListStatuses(ctx); err != nil || len(left) > 0 {
		t.Errorf("half written blobs %v, %v", left, err)
	}
	err = client.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			t.Errorf("snapshot %s is %v", info.Name, info.Kind)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	images, err := client.ImageService().List(ctx)
	if err != nil {
		t.Error(err)
	}
	for _, img := range images {
		if ok, _, _, missing, err := checkImage(ctx, client, img.Name); err != nil || !ok {
			t.Errorf("image %s lacks %v: %v", img.Name, missing, err)
		}
	}
}

// checkTree reads every release: each is whole, and what is served is of one
// image.
func (w *world) checkTree(t *testing.T) {
	t.Helper()
	for _, master := range []string{"one", "two"} {
		all, err := release.Releases(w.pxe, master)
		if errors.Is(err, fs.ErrNotExist) {
			continue // none yet
		} else if err != nil {
			t.Error(err)
		}
		for _, p := range all {
			if err := p.Verify(); err != nil {
				t.Error(err)
			}
			for host, conffs := range p.Hosts {
				if conffs.Master != p.Rootfs.Image {
					t.Errorf("release %s of %s mixes the conffs of %s with another rootfs", p.Timestamp, master, host)
				}
			}
			if _, err := os.Lstat(filepath.Join(p.Dir, ".unserved")); err == nil && !p.Served {
				t.Errorf("release %s of %s was never served", p.Timestamp, master)
			}
		}
	}
}

// checkRegistry reads the embedded registry's files: every tag leads to a
// manifest, and that to blobs that are what their digests say.
func (w *world) checkRegistry(t *testing.T) {
	t.Helper()
	checkStorage(t, filepath.Join(w.state, "registry/docker/registry/v2"))
}

// sound are the files whose content was compared with its digest already, and
// how they looked then.
var sound = map[string]string{}

func checkStorage(t *testing.T, storage string) {
	t.Helper()
	for _, link := range glob(t, filepath.Join(storage, "repositories/*/_manifests/tags/*/current/link"),
		filepath.Join(storage, "repositories/*/*/_manifests/tags/*/current/link"),
		filepath.Join(storage, "repositories/*/*/*/_manifests/tags/*/current/link")) {
		repository, _, _ := strings.Cut(link, "/_manifests/")
		if err := checkTag(storage, repository, link); err != nil {
			t.Errorf("%s: %v", strings.TrimPrefix(link, storage), err)
		}
	}
}

func checkTag(storage, repository, link string) error {
	named, err := os.ReadFile(link)
	if err != nil {
		return err
	}
	raw, err := readBlob(storage, digest.Digest(named))
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	blobs, err := blobsOf(raw)
	if err != nil {
		return err
	}
	for _, blob := range blobs {
		if _, err := os.Stat(filepath.Join(repository, "_layers/sha256", blob.Encoded(), "link")); err != nil {
			return err
		}
		if err := checkBlob(storage, blob); err != nil {
			return err
		}
	}
	return nil
}

func glob(t *testing.T, patterns ...string) (found []string) {
	t.Helper()
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

// containerds are the world's own daemons: one or none.
func (w *world) containerds(t *testing.T) (found []process) {
	t.Helper()
	for _, path := range glob(t, "/proc/[0-9]*/cmdline") {
		command, _ := os.ReadFile(path) // it may have ended
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && strings.Contains(string(command), "__containerd\x00"+w.state+"\x00") {
			found = append(found, process{pid, strings.ReplaceAll(string(command), "\x00", " ")})
		}
	}
	return found
}
