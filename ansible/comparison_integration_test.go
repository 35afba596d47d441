//go:build integration

package ansible

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vauban/ansible/repository"
	"vauban/internal/gittest"
	"vauban/internal/treecmp"
	"vauban/layers"
)

// A playbook leaves the same files in a plain chroot, by ansible and the chroot
// connection of community.general alone, and as a stage.
func TestStageIsAsPlainAnsible(t *testing.T) {
	e, base := engine(t)
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS("testdata/ordinary"), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, err := os.ReadFile(filepath.Join("testdata/ordinary", path))
			files[path] = string(data)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	repo := gittest.Repository(t, files)
	if err := os.Symlink("one", filepath.Join(repo, "files/tree/link")); err != nil {
		t.Fatal(err)
	}
	gittest.Commit(t, repo, nil)
	tallies := filepath.Join(t.TempDir(), "tally")

	err = e.Mount(t.Context(), base, func(root string) error {
		plain := plainChroot(t, root)
		defer plain.remove()
		var stage layers.Image
		t.Run("applied", func(t *testing.T) {
			t.Run("plain", func(t *testing.T) {
				t.Parallel() // either waits as often as it computes
				plainRun(t, repo, plain.root, tallies+"-plain")
			})
			t.Run("stage", func(t *testing.T) {
				t.Parallel()
				stage = stageRun(t, repo, base, tallies+"-stage")
			})
		})
		if t.Failed() {
			return nil
		}
		return e.Mount(t.Context(), stage, func(stage string) error {
			checkContents(t, stage)
			for _, difference := range treecmp.Compare(plain.root, stage, treecmp.Options{Skip: notCompared, SkipMtime: func(string) bool { return true }}) {
				t.Error(difference)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		return
	}
	if diff := cmp.Diff(builder(t, tallies+"-plain"), builder(t, tallies+"-stage")); diff != "" {
		t.Errorf("the repository's own callback counted, plain (-), as a stage (+):\n%s", diff)
	}
}

// stageRun applies the playbook as a stage, which passes nothing over.
func stageRun(t *testing.T, repo string, base layers.Image, tally string) layers.Image {
	t.Helper()
	e, _ := engine(t)
	r := open(t, Options{Repository: repository.Options{Repo: repo, Environ: append(os.Environ(), "TALLY="+tally)}})
	var passed []Passed
	step := r.Playbook(PlaybookOptions{Revision: revision(t, r, ""), Path: "play.yml", Conffs: true, Log: t.Output(),
		Passed: func(p []Passed) { passed = p }})
	results, err := e.Apply(t.Context(), step, layers.Change{Created: time.Unix(1, 0)},
		layers.Target{ContainerOptions: layers.ContainerOptions{Name: "web1"}, Parent: base})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Err != nil {
		t.Fatal(results[0].Err)
	}
	if len(passed) > 0 {
		t.Errorf("something was skipped: %v", passed)
	}
	return results[0].Image
}

// notCompared are what no layer holds, what vauban writes before a stage, and
// what a chroot of the builder's has of it.
func notCompared(path string) bool {
	return slices.Contains([]string{"dev", "proc", "sys", "run", "tmp", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"}, path)
}

// checkContents makes sure that the playbook did what it is there for.
func checkContents(t *testing.T, root string) {
	t.Helper()
	for path, want := range map[string]string{
		"srv/left":                  "left\n",
		"srv/hidden":                "hidden\n",
		"home/sailor/left":          "left\n",
		"srv/joined":                "joined\n",
		"srv/synchronized/sub/t wo": "two\n",
		"srv/of-nobody/one":         "one\n",
		"srv/from-the-builder":      "one\n",
		"srv/vaulted-variable":      "inline secret of a vaulted file\n",
		"srv/vaulted-file":          "a vaulted file\n",
		"srv/by-module":             "WORD!\n",
		"srv/before-the-end":        "x\n",
		"srv/environment":           "of the task \n",
		"home/sailor/by-su":         "sailor\n",
		"srv/cleared":               "cleared\n",
		"srv/rescued":               "command 1\n",
		"srv/remote-archive/file":   "in\n",
	} {
		data, err := os.ReadFile(filepath.Join(root, path))
		if string(data) != want {
			t.Errorf("%s holds %q, want %q, error %v", path, data, want, err)
		}
	}
	for _, path := range []string{"srv/after-the-end", "srv/checked-only", "srv/not-reached", "root/.ansible", "root/.ansible_async", "home/sailor/.ansible"} {
		if _, err := os.Lstat(filepath.Join(root, path)); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}

// chroot is a writable view of a base, with what a chroot needs.
type chroot struct {
	root   string
	remove func()
}

func plainChroot(t *testing.T, base string) chroot {
	t.Helper()
	dir := t.TempDir()
	run := func(argv ...string) {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", argv, err, out)
		}
	}
	run("mkdir", dir+"/upper", dir+"/work", dir+"/root")
	c := chroot{dir + "/root", func() { run("umount", "--recursive", "--lazy", dir+"/root") }}
	for _, mount := range [][]string{
		{"--types", "overlay", "overlay", "--options", "lowerdir=" + base + ",upperdir=" + dir + "/upper,workdir=" + dir + "/work,redirect_dir=on", c.root},
		{"--types", "proc", "proc", c.root + "/proc"},
		{"--rbind", "/dev", c.root + "/dev"},
		{"--make-rslave", c.root + "/dev"},
		{"--types", "tmpfs", "tmpfs", c.root + "/run"},
	} {
		run(append([]string{"mount"}, mount...)...)
	}
	return c
}

// plainRun applies the playbook to a chroot without anything of vauban's, and
// waits for the jobs that it leaves.
func plainRun(t *testing.T, repo, root, tally string) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "repository")
	gittest.Run(t, repo, "clone", "--quiet", repo, copied)
	cmd := exec.Command("ansible-playbook", "--connection", "community.general.chroot", "-e", "ansible_host="+root, "-e", "root="+root,
		"-e", "plain=true", "-e", "in_vauban=false", "-e", "ansible_python_interpreter=/usr/bin/python3", "play.yml")
	cmd.Dir = copied
	cmd.Env = append(os.Environ(), "ANSIBLE_CONFIG="+copied+"/ansible.cfg", "ANSIBLE_REMOTE_TMP=/tmp", "ANSIBLE_ASYNC_DIR=/tmp",
		"PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8", "HOME=/root", "TALLY="+tally, "ANSIBLE_NOCOLOR=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("plain ansible: %v\n%s", err, out)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		left := 0
		for _, path := range []string{"/srv/left", "/srv/hidden", "/home/sailor/left"} {
			if _, err := os.Stat(root + path); err != nil {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the jobs of plain ansible do not end")
		}
	}
}
