//go:build integration

package freshness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/pipeline/recipes"
	"vauban/registry"
)

// forest is a large tree that is fresh: recorded as if it had been built.
type forest struct {
	dir, repository, state string
	masters, hosts         int
	cfg                    *config.Config
	registry               *registry.Registry
	requests               atomic.Int64
	processes              string // a file with a line for each ansible-playbook
	options                ansible.Options
	now                    time.Time
}

// plant makes a forest: per master so many hosts. The registry is another
// server's when remote is set, else the embedded one.
func plant(t testing.TB, masters, hosts int, remote bool) *forest {
	t.Helper()
	f := &forest{dir: t.TempDir(), masters: masters, hosts: hosts, now: time.Now()}
	f.repository, f.state, f.processes = filepath.Join(f.dir, "ansible"), filepath.Join(f.dir, "state"), filepath.Join(f.dir, "processes")
	var cfg, inventory strings.Builder
	fmt.Fprintf(&cfg, "suite:\n  release: bookworm\n  name: base/iso\n  top:\n    stages: [play0.yml]\n")
	inventory.WriteString("all:\n  hosts:\n    unclaimed:\n  children:\n")
	for i := range masters {
		fmt.Fprintf(&cfg, "    m%d:\n      stages: [play%d.yml]\n      conffs: group%d\n", i, i%10, i)
		fmt.Fprintf(&inventory, "    group%d:\n      hosts:\n", i)
		for h := range hosts {
			fmt.Fprintf(&inventory, "        m%dh%d:\n", i, h)
		}
	}
	put(t, filepath.Join(f.dir, "config.yml"), cfg.String())
	put(t, filepath.Join(f.repository, "hosts.yml"), inventory.String())
	put(t, filepath.Join(f.repository, "ansible.cfg"), "[defaults]\ninventory = hosts.yml\n")
	for i := range 10 {
		put(t, filepath.Join(f.repository, fmt.Sprintf("play%d.yml", i)), "- hosts: all\n")
	}
	gitIn(t, f.repository, "init", "--quiet", "--initial-branch=main")
	f.commit(t)
	var err error
	if f.cfg, err = config.Load(filepath.Join(f.dir, "config.yml")); err != nil {
		t.Fatal(err)
	}
	o := registry.Options{StateDir: f.state}
	if remote {
		memory := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.requests.Add(1)
			memory.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		o.Hostname = strings.TrimPrefix(server.URL, "http://")
	}
	if f.registry, err = registry.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.registry.Close() })
	f.grow(t)
	return f
}

func (f *forest) commit(t testing.TB) {
	gitIn(t, f.repository, "add", ".")
	gitIn(t, f.repository, "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--allow-empty", "--message=c")
}

func gitIn(t testing.TB, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// judge is that of a machine with that state directory.
func (f *forest) judge(t testing.TB, state string) (*Judge, func()) {
	t.Helper()
	wrapper := filepath.Join(f.dir, "bin", "ansible-playbook")
	if _, err := os.Stat(wrapper); err != nil {
		real, err := exec.LookPath("ansible-playbook")
		if err != nil {
			t.Fatal(err)
		}
		put(t, wrapper, fmt.Sprintf("#!/bin/sh\necho run >>%s\nexec %s \"$@\"\n", f.processes, real))
		if err := os.Chmod(wrapper, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := f.options
	o.Program = wrapper
	o.Repository = repository.Options{Repo: f.repository, StateDir: state, Dir: f.dir, Environ: os.Environ()}
	controller, err := ansible.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &Judge{Config: f.cfg, Records: recordsOf(t, f.registry, state), Ansible: controller, Now: f.now, Push: state == f.state, UploadDir: filepath.Join(f.dir, "none")},
		func() { controller.Close() }
}

// grow records the whole tree as built of what it is now.
func (f *forest) grow(t testing.TB) {
	t.Helper()
	j, done := f.judge(t, f.state)
	defer done()
	ctx := t.Context()
	images := map[string]digest.Digest{}
	name := func(m *config.Master) string { return m.Image() }
	reads := repository.Reads{}
	for i := range 200 {
		reads.Files = append(reads.Files, fmt.Sprintf("roles/role%03d/tasks/main.yml", i))
	}
	stagesOf := func(m *config.Master, stages []config.Stage, conffs bool) (records []StageRecord) {
		for _, s := range stages {
			revision, err := j.Ansible.Repository.Revision(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			inputs, err := j.Ansible.Playbook(PlaybookOptions(m, s, revision, conffs, nil)).Inputs(ctx)
			if err != nil {
				t.Fatal(err)
			}
			own := reads
			own.Files = append([]string{s.Playbook}, reads.Files...)
			records = append(records, StageRecord{Stage: s.Raw, Commit: revision.Commit, Inputs: withInit(inputs, s), Reads: own})
		}
		return records
	}
	b := f.cfg.Bases[0]
	recipe, err := recipes.Key(ctx, f.cfg, "Dockerfile.base", recipes.BaseArguments(b), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	update := func(image string, parent digest.Digest, change func(*Record)) {
		t.Helper()
		images[image] = tagged(t, f.registry, image, image)
		err := j.Records.Update(ctx, image, true, func(r *Record) {
			r.Image, r.Parent, r.Made = images[image], parent, time.Now()
			change(r)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	update(b.Image(), "", func(r *Record) { r.Inputs = BaseInputs(b, recipe) })
	for _, m := range f.cfg.Masters() {
		parent := images[b.Image()]
		if m.Parent != nil {
			parent = images[name(m.Parent)]
		}
		update(name(m), parent, func(r *Record) {
			r.Inputs, r.Stages = MasterInputs(m), stagesOf(m, m.Stages, false)
			made := map[string]digest.Digest{}
			for h := range f.hosts {
				if m.Conffs != "" {
					host := fmt.Sprintf("%sh%d", m.Name, h)
					made[host] = digest.FromString(host)
				}
			}
			r.SetHosts(HostRun{Master: r.Image, Inputs: HostInputs(f.cfg, m, false), Stages: stagesOf(m, m.HostStages(f.cfg), true)}, made, nil)
			initramfs, err := recipes.InitramfsKey(ctx, f.cfg, m, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			rootfs, err := RootfsInputs(f.cfg, m, false)
			if err != nil {
				t.Fatal(err)
			}
			r.Release = &ReleaseRecord{Timestamp: "2026-11-20T211348Z", Image: r.Image, Hosts: HostsDigest(r.Hosts), RootfsInputs: rootfs, KernelInputs: KernelInputs(m, initramfs)}
		})
	}
}

// see judges all, and counts requests and processes of ansible.
func (f *forest) see(t testing.TB, state string) (s Status, requests int64, processes int) {
	t.Helper()
	j, done := f.judge(t, state)
	defer done()
	before := f.requests.Load()
	os.Remove(f.processes)
	s, err := j.Status(context.WithoutCancel(t.Context()), nil)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(f.processes)
	return s, f.requests.Load() - before, strings.Count(string(data), "\n")
}

// pending are the tasks of the whole tree that --if-stale would look at.
func (f *forest) pending(t testing.TB, state string) []*plan.Task {
	t.Helper()
	j, done := f.judge(t, state)
	defer done()
	j.Publishing = true
	p, err := plan.New(f.cfg, plan.WholeTree(f.cfg, plan.All)...)
	if err == nil {
		p, err = j.Stale(t.Context(), p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.Tasks
}

// cpu is what this process and those that it waited for have used.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var all time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		all += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return all
}

func (s Status) count() (stale, hosts, staleHosts int) {
	for _, m := range s.Masters {
		if !m.Fresh || !m.Release.Fresh() {
			stale++
		}
		hosts += len(m.Hosts)
		staleHosts += len(m.Hosts) - m.FreshHosts()
	}
	return stale, hosts, staleHosts
}

// TestDecisionsAreCheap bounds what a decision asks of the registry and of
// ansible, and judges a commit that touches one playbook of ten.
func TestDecisionsAreCheap(t *testing.T) {
	const masters, hosts = 20, 5
	f := plant(t, masters, hosts, true)
	images := int64(masters + 2)
	for _, test := range []struct {
		name, state string
		requests    int64 // for each image
		processes   int
	}{
		{"the first machine to see the commit", f.state, 2, 1},
		{"a fresh machine", filepath.Join(f.dir, "new"), 3, 0},
		{"the same machine again", filepath.Join(f.dir, "new"), 2, 0},
	} {
		s, requests, processes := f.see(t, test.state)
		stale, all, staleHosts := s.count()
		if stale != 0 || staleHosts != 0 || all != masters*hosts || !s.Bases[0].Fresh {
			t.Errorf("%s: %d masters and %d of %d hosts are stale: %v", test.name, stale, staleHosts, all, s.Masters)
		}
		if len(s.Uncovered) != 1 || s.Uncovered[0] != "unclaimed" {
			t.Errorf("%s: hosts of no master: %q", test.name, s.Uncovered)
		}
		// A greeting and a redirect to plain HTTP come once for each connection.
		if bound := test.requests*images + 2*parallelRecords; requests > bound || requests < 2*images {
			t.Errorf("%s: %d requests for %d images, want at most %d", test.name, requests, images, bound)
		}
		if processes != test.processes {
			t.Errorf("%s: %d processes of ansible-playbook, want %d", test.name, processes, test.processes)
		}
	}
	if tasks := f.pending(t, filepath.Join(f.dir, "new")); len(tasks) != 0 {
		t.Errorf("nothing has changed, and these are pending: %v", tasks)
	}
	put(t, filepath.Join(f.repository, "play3.yml"), "- hosts: all\n  vars: {}\n")
	f.commit(t)
	s, _, processes := f.see(t, filepath.Join(f.dir, "new"))
	if stale, _, staleHosts := s.count(); stale != masters/10 || staleHosts != masters/10*hosts || processes != 1 {
		t.Errorf("after a commit to one of ten playbooks, %d of %d masters and %d hosts are stale, by %d processes", stale, masters, staleHosts, processes)
	}
	want := "rootfs m3, squashfs m3, kernel m3, conffs m3, release m3, rootfs m13, squashfs m13, kernel m13, conffs m13, release m13"
	if tasks := f.pending(t, filepath.Join(f.dir, "new")); strings.Trim(fmt.Sprint(tasks), "[]") != strings.ReplaceAll(want, ",", "") {
		t.Errorf("pending are %v, want %s", tasks, want)
	}
}

// TestWhatChanged changes one input after the other, and looks for its name.
func TestWhatChanged(t *testing.T) {
	f := plant(t, 2, 2, false)
	load := func() {
		t.Helper()
		var err error
		if f.cfg, err = config.Load(filepath.Join(f.dir, "config.yml")); err != nil {
			t.Fatal(err)
		}
	}
	original, err := os.ReadFile(filepath.Join(f.dir, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, changed string) func() {
		return func() {
			put(t, filepath.Join(f.dir, "config.yml"), strings.Replace(string(original), old, changed, 1))
			load()
		}
	}
	for _, test := range []struct {
		name   string
		change func()
		want   string // of bases, masters and the hosts of m0
	}{
		{"nothing", func() {}, ""},
		{"extra arguments", func() { f.options.ExtraArgs = "-e x=1" }, "top: play0.yml: changed: ANSIBLE_EXTRA_ARGS; m0: play0.yml: changed: ANSIBLE_EXTRA_ARGS; its parent top is stale; m1: play1.yml: changed: ANSIBLE_EXTRA_ARGS; its parent top is stale; m0h0: play0.yml: changed: ANSIBLE_EXTRA_ARGS; play0.yml: changed: ANSIBLE_EXTRA_ARGS; its master is stale"},
		{"a master's key", edit("    m0:\n", "    m0:\n      network: host\n"), "m0: changed: network; m0h0: changed: network; its master is stale"},
		{"its stages", edit("stages: [play1.yml]", "stages: [play1.yml, play2.yml]"), "m1: its stages in config.yml have changed"},
		{"the base", edit("  release: bookworm\n", "  release: bookworm\n  include: [curl]\n"), "base/iso: changed: include; top: its parent base/iso is stale; m0: its parent top is stale; m1: its parent top is stale; m0h0: its master is stale"},
		{"the base's age", func() {
			edit("  release: bookworm\n", "  release: bookworm\n  max_age: 30d\n")()
			f.now = time.Now().Add(40 * 24 * time.Hour)
		}, "base/iso: it is 5 weeks old, and `max_age` is 4 weeks; top: its parent base/iso is stale; m0: its parent top is stale; m1: its parent top is stale; m0h0: its master is stale"},
		{"the parent", func() {
			image := tagged(t, f.registry, "top", "another")
			if err := recordsOf(t, f.registry, f.state).Update(t.Context(), "top", true, func(r *Record) { r.Image = image }); err != nil {
				t.Fatal(err)
			}
		}, "m0: its parent top was rebuilt; m1: its parent top was rebuilt; m0h0: its master is stale"},
		{"an image without its record", func() { tagged(t, f.registry, "m1", "another") }, "m0: its parent top was rebuilt; m1: its latest image, sha256:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.options, f.now = ansible.Options{}, time.Now()
			edit("", "")()
			test.change()
			s, _, _ := f.see(t, f.state)
			var got []string
			for _, b := range s.Bases {
				if !b.Fresh {
					got = append(got, b.Name+": "+b.String())
				}
			}
			for _, m := range s.Masters {
				if !m.Fresh {
					got = append(got, m.Name+": "+m.String())
				}
			}
			for _, m := range s.Masters {
				if m.Name == "m0" && !m.Hosts[0].Fresh {
					got = append(got, m.Hosts[0].Name+": "+m.Hosts[0].String())
				}
			}
			if all := strings.Join(got, "; "); all != test.want && !(strings.HasSuffix(test.want, "sha256:") && strings.HasPrefix(all, test.want)) {
				t.Errorf("got  %s\nwant %s", all, test.want)
			}
		})
	}
}

// TestForcedPush: a machine that never saw the commit cannot compare it.
func TestForcedPush(t *testing.T) {
	f := plant(t, 1, 1, false)
	gitIn(t, f.repository, "checkout", "--quiet", "--orphan", "again")
	put(t, filepath.Join(f.repository, "other"), "") // else it could be the same commit
	f.commit(t)
	gitIn(t, f.repository, "branch", "--quiet", "--force", "main", "again")
	gitIn(t, f.repository, "checkout", "--quiet", "main")
	gitIn(t, f.repository, "branch", "--quiet", "--delete", "--force", "again")
	s, _, _ := f.see(t, t.TempDir())
	if why := s.Masters[0].String(); !strings.Contains(why, "play0.yml: the repository no longer has commit ") {
		t.Errorf("why: %q", why)
	}
}

// BenchmarkDecision compares a machine that never saw the tree with one that
// did: 200 masters with 2,000 hosts.
func BenchmarkDecision(b *testing.B) {
	f := plant(b, 200, 10, false)
	warm := f.state
	f.see(b, warm)
	for i := 0; b.Loop(); i++ {
		start, used := time.Now(), cpu(b)
		f.see(b, filepath.Join(f.dir, fmt.Sprintf("cold%d", i)))
		b.ReportMetric(time.Since(start).Seconds(), "cold-s")
		b.ReportMetric((cpu(b) - used).Seconds(), "cold-cpu-s")
		start, used = time.Now(), cpu(b)
		s, _, _ := f.see(b, warm)
		b.ReportMetric(time.Since(start).Seconds(), "warm-s")
		b.ReportMetric((cpu(b) - used).Seconds(), "warm-cpu-s")
		if stale, hosts, staleHosts := s.count(); stale+staleHosts > 0 || hosts != 2000 {
			b.Fatalf("%d masters, %d of %d hosts are stale", stale, staleHosts, hosts)
		}
	}
}
