//go:build integration

package pipeline

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/internal/testenv"
	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
	"vauban/pipeline/recipes"
)

const freshConfig = `
configuration:
  ansible_repo: playbooks
  never_upload: [master-test, master-child]
suite:
  release: bookworm
  name: base/iso
  master-test:
    stages: [playbook_master.yml]
    conffs: "host*"
    master-child:
      stages: [playbook_child.yml]
`

// TestFreshness builds a tree, changes one thing after the other, and looks
// for what is told to be stale and what --if-stale then builds.
func TestFreshness(t *testing.T) {
	w := newWorld(t, map[string]string{
		"ansible.cfg": "[defaults]\ninventory = hosts.yml\n", "hosts.yml": "all:\n  hosts:\n    host01:\n    host02:\n    lonely:\n",
		"playbook_master.yml":   "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {dest: /etc/motd, content: \"{{ lookup('file', 'motd') }}\\n\"}\n    - copy: {dest: /etc/own, content: \"{{ own | default('none') }}\\n\"}\n      when: in_conffs_build\n",
		"files/motd":            "hello\n",
		"playbook_child.yml":    "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {dest: /etc/child, content: child}\n",
		"host_vars/host01.yml":  "own: one\n",
		"another/playbook.yml":  "- hosts: all\n",
		"roles/unused/main.yml": "---\n",
	})
	write(t, filepath.Join(w.dir, "config.yml"), freshConfig)
	w.recordBase(t)
	if got := w.stale(t, filepath.Join(w.dir, "state")); got != "test: never built; child: never built; its parent master-test is stale" {
		t.Errorf("before anything was built: %s", got)
	}
	w.ifStale(t, "conffs master-test: host01 host02, rootfs master-child, rootfs master-test")
	for _, step := range []struct{ name, file, content, stale, built string }{
		{"nothing", "", "", "", ""},
		{"a file that nobody read", "another/new.yml", "---\n", "", ""},
		{"a host's variables", "host_vars/host02.yml", "own: two\n", "host02: host_vars/host02.yml changed", "conffs master-test: host02"},
	} {
		t.Run(step.name, func(t *testing.T) {
			if step.file != "" {
				w.commit(t, step.file, step.content)
			}
			if got := w.stale(t, filepath.Join(w.dir, "state")); got != step.stale {
				t.Errorf("stale: %s\nwant: %s", got, step.stale)
			}
			w.ifStale(t, step.built)
		})
	}
	if got := w.stale(t, t.TempDir()); got != "" {
		t.Errorf("a machine that has built nothing says: %s", got)
	}
	w.commit(t, "host_vars/host02.yml", "own: three\n")
	w.publishedElsewhere(t)
	w.ifStale(t, "conffs master-test: host02")
	w.commit(t, "files/motd", "goodbye\n")
	if got := w.stale(t, filepath.Join(w.dir, "state")); !strings.Contains(got, "test: playbook_master.yml: from commit ") || !strings.Contains(got, "files/motd changed") ||
		!strings.Contains(got, "child: its parent master-test is stale") {
		t.Errorf("stale: %s", got)
	}
	w.ifStale(t, "conffs master-test: host01 host02, rootfs master-child, rootfs master-test")
	w.ifStale(t, "")
	// The play's own text, where the result stays: what is based on it does too.
	w.commit(t, "playbook_child.yml", "# a comment\n- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {dest: /etc/child, content: child}\n")
	w.ifStale(t, "rootfs master-child")
	w.ifStale(t, "")
}

// publishedElsewhere: of what another machine has published, a release cannot
// be made here with the stale hosts alone.
func (w *world) publishedElsewhere(t *testing.T) {
	t.Helper()
	j := w.judge(t, t.TempDir())
	j.Config.Configuration.NeverUpload = nil
	m := j.Config.Masters()[0]
	initramfs, err := recipes.InitramfsKey(t.Context(), j.Config, m, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	rootfs, err := freshness.RootfsInputs(j.Config, m, false)
	if err != nil {
		t.Fatal(err)
	}
	err = j.Records.Update(t.Context(), m.Image(), true, func(r *freshness.Record) {
		r.Release = &freshness.ReleaseRecord{Image: r.Image, Hosts: freshness.HostsDigest(r.Hosts), RootfsInputs: rootfs, KernelInputs: freshness.KernelInputs(m, initramfs)}
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts, _, err := j.Hosts(t.Context(), m, false)
	if err != nil || len(hosts) != 2 || hosts[0].String() != "no release is here to take it from" || !strings.Contains(hosts[1].String(), "host_vars/host02.yml changed") {
		t.Errorf("where nothing is published, a release of all hosts is not wanted: %v: %v", hosts, err)
	}
}

// judge is a fresh one, on a machine that has built nothing when stateDir is
// not the world's.
func (w *world) judge(t *testing.T, stateDir string) *freshness.Judge {
	t.Helper()
	cfg := w.config(t)
	controller, err := ansible.Open(t.Context(), ansible.Options{
		Repository: repository.Options{Repo: filepath.Join(w.dir, "playbooks"), StateDir: stateDir, Dir: w.dir, Environ: os.Environ(), Log: testenv.Log(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { controller.Close() })
	return &freshness.Judge{Config: cfg, Records: freshness.NewRecords(w.registry, stateDir, testenv.Log(t)), Ansible: controller,
		UploadDir: filepath.Join(w.dir, "pxe"), Publishing: true, Now: time.Now()}
}

// ifStale builds what is stale and compares the tasks that were done, and the
// hosts that were built, with what is wanted.
func (w *world) ifStale(t *testing.T, want string) {
	t.Helper()
	cfg := w.config(t)
	p, err := plan.New(cfg, plan.Request{Names: []string{"master-test", "master-child"}, Stage: plan.Rootfs}, plan.Request{Names: []string{"master-test"}, Stage: plan.Conffs})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = w.judge(t, filepath.Join(w.dir, "state")).Stale(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if len(p.Tasks) == 0 {
		if want != "" {
			t.Errorf("nothing is stale; want: %s", want)
		}
		return
	}
	r := w.prepare(t, Options{Config: cfg}, p, NewIfStale)
	outcomes, err := r.Run(t.Context())
	if err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	var done []string
	for _, o := range outcomes {
		if o.Note == "fresh" {
			continue
		}
		line := o.Task.String()
		if o.Task.Kind == plan.MakeConffs {
			var names []string
			for _, h := range conffsOf([]Outcome{o}) {
				names = append(names, h.Name)
			}
			line += ": " + strings.Join(names, " ")
		}
		done = append(done, line)
	}
	slices.Sort(done)
	if got := strings.Join(done, ", "); got != want {
		t.Errorf("built: %s\nwant: %s", got, want)
	}
}

// recordBase records the base that the world comes with.
func (w *world) recordBase(t *testing.T) {
	t.Helper()
	r := w.runner(t, Options{}, &plan.Plan{})
	b := r.Config.Bases[0]
	recipe, err := recipes.Key(t.Context(), r.Config, "Dockerfile.base", recipes.BaseArguments(b), nil, nil)
	if err == nil {
		err = r.job(nil).recordImage(t.Context(), b.Image(), freshness.Record{Image: w.base.Digest(), Inputs: freshness.BaseInputs(b, recipe)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) commit(t *testing.T, name, content string) {
	t.Helper()
	write(t, filepath.Join(w.dir, "playbooks", name), content)
	for _, args := range [][]string{{"add", "."}, {"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=" + name}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = filepath.Join(w.dir, "playbooks")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
}

// stale tells what is, and why.
func (w *world) stale(t *testing.T, stateDir string) string {
	t.Helper()
	status, err := w.judge(t, stateDir).Status(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var stale []string
	for _, m := range status.Masters {
		if !m.Fresh {
			stale = append(stale, strings.TrimPrefix(m.Name, "master-")+": "+m.String())
		}
	}
	for _, m := range status.Masters {
		for _, h := range m.Hosts {
			if !h.Fresh && h.Follows == "" {
				stale = append(stale, h.Name+": "+h.String())
			}
		}
	}
	return strings.Join(stale, "; ")
}
