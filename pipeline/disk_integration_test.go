//go:build integration

package pipeline

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"vauban/pipeline/plan"
	"vauban/progress"
	"vauban/registry"
)

// growing makes each host's image 32 MiB larger, so that a run over many would
// need much more of the disk than it should.
const growing = `
- hosts: all
  gather_facts: false
  tasks:
    - name: 32 MiB
      ansible.builtin.command: dd if=/dev/zero of=/srv/large bs=1M count=32 status=none
`

// disk measures what the snapshots take while a run goes on.
type disk struct {
	dir         string
	first, most int64 // in MiB
}

func (d *disk) Render(e progress.Event) {
	switch e.Type {
	case progress.RunStarted:
		d.first = d.now()
	case progress.Line, progress.HostEnded, progress.TaskEnded:
		d.most = max(d.most, d.now()-d.first)
	}
}

func (d *disk) Close() error { return nil }

func (d *disk) now() int64 {
	var blocks int64
	_ = filepath.WalkDir(d.dir, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		if info, err := entry.Info(); err == nil {
			blocks += info.Sys().(*syscall.Stat_t).Blocks
		}
		return nil
	})
	return blocks * 512 >> 20
}

// TestDiskStaysBounded builds three batches: the disk that they take is that
// of one, and their images still serve.
func TestDiskStaysBounded(t *testing.T) {
	w := newWorld(t, map[string]string{"playbook_master.yml": growing, "hosts.yml": inventory, "ansible.cfg": "[defaults]\ninventory = hosts.yml\n"})
	if err := w.runner(t, Options{}, &plan.Plan{}).job(nil).keep(t.Context(), "master-test", w.base); err != nil {
		t.Fatal(err)
	}
	d := &disk{dir: filepath.Join(w.dir, "state", "containerd", "io.containerd.snapshotter.v1.overlayfs")}
	o := Options{NoPublish: true, On: "latest", Batch: 1, Progress: progress.New(d, progress.Plain{W: t.Output()})}
	r, outcomes, err := w.build(t, o, plan.Request{Names: []string{"master-test"}, Stage: plan.Conffs})
	if err != nil {
		t.Fatalf("%v: %v", err, outcomes)
	}
	left := d.now() - d.first
	if d.first < 50 || d.most < 30 || d.most > 60 || left > 10 {
		t.Errorf("it took %d MiB at most besides %d of before, and %d afterwards; want some 32, and none", d.most, d.first, left)
	}

	img, err := r.job(nil).latest(t.Context(), "master-test/host01")
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := w.registry.Push(w.engine.Context(t.Context()), "elsewhere", img.Descriptor, w.engine.Store(), registry.PushOptions{Tags: []string{"copy"}})
	if err != nil || len(pushed.Tags) != 1 {
		t.Errorf("pushing a host's image: %+v, %v", pushed, err)
	}
	err = w.engine.Mount(t.Context(), img, func(root string) error {
		info, err := os.Stat(filepath.Join(root, "srv", "large"))
		if err == nil && info.Size() != 32<<20 {
			t.Errorf("the file has %d bytes", info.Size())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
