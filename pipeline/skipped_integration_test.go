//go:build integration

package pipeline

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/layers"
	"vauban/pipeline/plan"
)

// What a stage skips is in the run's summary and in the image, and a
// strict run fails of it.
func TestPassedIsToldOf(t *testing.T) {
	w := newWorld(t, map[string]string{
		"hosts":               "host1\n",
		"ansible.cfg":         "[defaults]\ninventory = hosts\n",
		"playbook_master.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{name: start anew, command: /sbin/reboot}]\n",
	})
	request := plan.Request{Names: []string{"master-test"}, Stage: plan.Rootfs}
	r, _, err := w.build(t, Options{NoPublish: true, NoPush: true}, request)
	if err != nil {
		t.Fatal(err)
	}
	const what = `task "start anew" (playbook_master.yml:3): reboot: a stage does not reboot`
	notices := r.Summary().Tasks[0].Notices
	if len(notices) != 1 || notices[0].Text != "playbook_master.yml: skipped: "+what {
		t.Errorf("the summary has notices %q", notices)
	}
	img, err := w.engine.Image(t.Context(), "master-test:latest")
	if err != nil {
		t.Fatal(err)
	}
	if list := img.Config.Config.Labels[ansible.LabelPassed]; !strings.Contains(list, `"task":"start anew"`) {
		t.Errorf("the image's label is %s", list)
	}
	leavesContainer(t, w.engine, img)
	_, outcomes, err := w.build(t, Options{NoPublish: true, NoPush: true, Strict: true}, request)
	if err == nil || outcomes[0].Err == nil || !strings.Contains(outcomes[0].Err.Error(), "--strict: "+what) {
		t.Errorf("a strict run ended with %v: %v", err, outcomes[0].Err)
	}
}

// idle is a step that does nothing.
type idle struct{}

func (idle) Key(context.Context, string) (digest.Digest, error) {
	return digest.FromString("idle"), nil
}
func (idle) Run(context.Context, []*layers.Container) error { return nil }

// leavesContainer takes files out of a container: regular ones alone.
func leavesContainer(t *testing.T, e *layers.Engine, img layers.Image) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "out")
	target := layers.Target{Parent: img, ContainerOptions: layers.ContainerOptions{Name: "kernel"}}
	err := e.Try(t.Context(), idle{}, target, func(c *layers.Container) error {
		if err := copyOut(t.Context(), c, "/etc/hostname", to); err != nil {
			return err
		}
		for _, name := range []string{"/dev/zero", "/proc/kallsyms", "/etc"} {
			if err := copyOut(t.Context(), c, name, to+".hostile"); err == nil {
				t.Errorf("%s came out of a container", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(to); err != nil || string(text) != "kernel\n" {
		t.Errorf("the file that came out holds %q, %v", text, err)
	}
}
